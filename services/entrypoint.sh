#!/bin/sh
# What a service's image runs: `api`, `worker`, `reaper`, `setup` (before a release starts), `health` (of the first
# process), or any other command as it is.
set -eu
if [ "${TMPDIR:-/tmp}" != /tmp ]; then
    mkdir -p "$TMPDIR"
    # Uploads that a killed process left in this container's own volume.
    rm -f "$TMPDIR"/reel-upload-*
fi
case "${1:-api}" in
api) exec python3 -m "reel_${REEL_SERVICE}.server" ;;
worker) exec python3 -m "reel_${REEL_SERVICE}.worker" ;;
reaper) exec python3 -m reel_shared.outbox ;;
setup) exec python3 -m reel_shared.deployment ;;
health)
    port=${REEL_WEB__PORT:-8000} path=healthz
    if tr '\0' ' ' </proc/1/cmdline | grep -qE 'reel_[a-z]+\.(worker|outbox)'; then
        # A worker answers no HTTP besides its metrics; where those are off, that it lives is all there is to see.
        port=${REEL_METRICS_PORT:-0} path=metrics
        [ "$port" != 0 ] || exit 0
    fi
    exec python3 -c 'import sys, urllib.request as r
r.urlopen("http://127.0.0.1:%s/%s" % tuple(sys.argv[1:]), timeout=2)' "$port" "$path"
    ;;
*) exec "$@" ;;
esac
