#!/bin/sh
# What a service's image runs: `api`, `worker`, `health` (of the first process), or any other command as it is.
set -eu
case "${1:-api}" in
api) exec python3 -m "reel_${REEL_SERVICE}.server" ;;
worker) exec python3 -m "reel_${REEL_SERVICE}.worker" ;;
health)
    # a worker answers no HTTP; that it lives is all there is to see from here
    if tr '\0' ' ' </proc/1/cmdline | grep -q '\.worker'; then exit 0; fi
    exec python3 -c 'import os, urllib.request as r
r.urlopen("http://127.0.0.1:%s/healthz" % os.environ.get("REEL_WEB__PORT", "8000"), timeout=2)'
    ;;
*) exec "$@" ;;
esac
