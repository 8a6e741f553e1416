#!/bin/sh
# Makes every secret of docker-compose.yml, each as a file in secrets/ (or $1). A file that exists is kept as it is.
# To change one, remove it and what is derived from it, and see "Changing a secret" in docs/deploy-compose.md.
set -eu
folder=${1:-$(dirname "$0")/../secrets}
umask 077
mkdir -p "$folder/passwords"
cd "$folder"
# Nobody but root and its owner gets into the folder; the files themselves are read by the containers' own users.
chmod 700 . passwords
SERVICES="ingest augment trainer inference explainer web"

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
once() { # once FILE: writes standard input there, unless the file stands
    [ ! -e "$1" ] || return 0
    cat >"$1.part" && chmod 444 "$1.part" && mv "$1.part" "$1" && echo "made secrets/$1" >&2
}

random | once postgres_password
random | once s3_secret_key
random | once web_secret
random | once grafana_password
{ printf 'reel_%s_' "$(head -c 6 /dev/urandom | od -An -tx1 | tr -d ' \n')" && random; } | once api_key

for name in owner $SERVICES; do
    random | once "passwords/database_$name"
    printf 'postgresql://reel_%s:%s@%s/reelsight' "$name" "$(cat "passwords/database_$name")" \
        "${REEL_POSTGRES:-postgres:5432}" | once "database_url_$name"
done
{
    # The owner alone changes tables; the services read and write rows.
    printf "CREATE ROLE reel_owner LOGIN PASSWORD '%s';\n" "$(cat passwords/database_owner)"
    echo 'CREATE ROLE reel_service NOLOGIN;'
    echo 'ALTER DATABASE reelsight OWNER TO reel_owner;'
    echo 'REVOKE ALL ON DATABASE reelsight FROM PUBLIC;'
    echo 'GRANT CONNECT ON DATABASE reelsight TO reel_service;'
    echo 'GRANT USAGE ON SCHEMA public TO reel_service;'
    echo 'ALTER DEFAULT PRIVILEGES FOR ROLE reel_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO reel_service;'
    echo 'ALTER DEFAULT PRIVILEGES FOR ROLE reel_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO reel_service;'
    for name in $SERVICES; do
        printf "CREATE ROLE reel_%s LOGIN PASSWORD '%s' IN ROLE reel_service;\n" "$name" "$(cat "passwords/database_$name")"
    done
} | once postgres_roles.sql

# Each service's user of object storage; `setup` makes them, with the rights of shared/reel_shared/bucket_rights.py.
for name in $SERVICES; do
    random | once "s3_secret_key_$name"
    printf 'reelsight-%s' "$name" | once "s3_access_key_$name"
done
{
    separator='{'
    for name in $SERVICES; do
        printf '%s"%s":"%s"' "$separator" "$name" "$(cat "s3_secret_key_$name")"
        separator=,
    done
    echo '}'
} | once s3_users.json

for name in $SERVICES; do
    random | once "passwords/redis_$name"
    printf 'redis://%s:%s@%s/0' "$name" "$(cat "passwords/redis_$name")" "${REEL_REDIS:-redis:6379}" | once "redis_url_$name"
done
{
    # Nobody can be this user. The server is, when it reads its append-only file back, and checks rights in transactions.
    echo 'user default off ~* &* +@all'
    echo 'user probe on nopass resetkeys resetchannels -@all +ping'
    for name in $SERVICES; do
        # Each may send to every queue and counts what callers ask, and has nothing of the others' besides.
        keys='~ingest* ~augment* ~trainer* ~inference* ~explainer* ~_kombu.* ~unacked* ~reel:quota:*'
        case $name in
        ingest) keys="$keys ~reel:turn:*" ;;
        inference) keys="$keys ~reel:answer:*" ;;
        esac
        printf 'user %s on #%s resetkeys %s resetchannels -@all +@all -@admin -@dangerous\n' \
            "$name" "$(sha256sum <"passwords/redis_$name" | cut -d' ' -f1)" "$keys"
    done
} | once redis_users.acl
