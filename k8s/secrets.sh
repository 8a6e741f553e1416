#!/bin/sh
# Makes the secrets of an overlay: sh k8s/secrets.sh local. What stands there already is kept.
#
# local gets all of them; cpu, gpu, keda and nodes get what can be made up, and lines to fill in for what lies outside.
set -eu
umask 077
overlay=${1:?name an overlay: cpu, gpu, keda, nodes or local}
cd "$(dirname "$0")/overlays/$overlay"
mkdir -p secrets
SERVICES="ingest augment trainer inference explainer web"
random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
keep() { if [ -e "secrets/$1" ]; then cat >/dev/null; else cat >"secrets/$1"; fi; }

keep web.env <<END
REEL_WEB__SECRET=$(random 32)
REEL_WEB__FIRST_KEY=reel_$(random 6)_$(random 22 | cut -c1-43)
END
if [ "$overlay" = local ]; then
    database=$(random 16) redis=$(random 16) s3=$(random 16)
    # They must agree, so they are made together or not at all.
    [ ! -e secrets/servers.env ] || exit 0
    keep platform.env <<END
REEL_DATABASE__URL=postgresql://reelsight:$database@postgres:5432/reelsight
REEL_REDIS__URL=redis://:$redis@redis:6379/0
REEL_S3__ACCESS_KEY=reelsight
REEL_S3__SECRET_KEY=$s3
END
    filled="-e s/@BUCKET@/reelsight/g -e s/@ADMIN_KEY@/reelsight/ -e s/@ADMIN_SECRET@/$s3/"
    for service in $SERVICES; do
        own=$(random 16)
        keep "s3-$service.env" <<END
REEL_S3__ACCESS_KEY=reelsight-$service
REEL_S3__SECRET_KEY=$own
END
        filled="$filled -e s/@SECRET_$service@/$own/"
    done
    # shellcheck disable=SC2086  # each word is an argument
    sed $filled ../../seaweedfs.json | keep s3.json
    keep servers.env <<END
POSTGRES_PASSWORD=$database
REDIS_PASSWORD=$redis
END
else
    keep platform.env <<END
REEL_DATABASE__URL=postgresql://reelsight:FILL-IN@postgres.example.org:5432/reelsight?sslmode=require
REEL_REDIS__URL=rediss://:FILL-IN@redis.example.org:6379/0
REEL_S3__ACCESS_KEY=FILL-IN
REEL_S3__SECRET_KEY=FILL-IN
END
    for service in $SERVICES; do
        keep "s3-$service.env" <<END
REEL_S3__ACCESS_KEY=FILL-IN
REEL_S3__SECRET_KEY=FILL-IN
END
    done
    [ "$overlay" != keda ] || keep scaler.env <<END
DATABASE_URL=postgresql://reelsight_scaler:FILL-IN@postgres.example.org:5432/reelsight?sslmode=require
END
    ! grep -l FILL-IN secrets/* >&2 || echo "Fill in what these files leave open." >&2
fi
