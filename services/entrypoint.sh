#!/bin/sh
# What a service's image runs: `api`, `worker`, `node` (of a trainer of several), `reaper`, `setup` (before a release starts), `health` (of the first
# process), or any other command as it is.
set -eu
# Before a process begins, never at a health check: uploads that a killed one left in this container's own volume.
clean() {
    [ "${TMPDIR:-/tmp}" != /tmp ] || return 0
    mkdir -p "$TMPDIR"
    rm -f "$TMPDIR"/reel-upload-*
}
case "${1:-api}" in
api) clean && exec python3 -m "reel_${REEL_SERVICE}.server" ;;
worker) clean && exec python3 -m "reel_${REEL_SERVICE}.worker" ;;
node) clean && exec python3 -m reel_trainer.nodes ;;
reaper) clean && exec python3 -m reel_shared.outbox ;;
setup) clean && exec python3 -m reel_shared.deployment ;;
health)
    port=${REEL_WEB__PORT:-8000}
    if tr '\0' ' ' </proc/1/cmdline | grep -qE 'reel_[a-z]+\.(worker|nodes|outbox)'; then
        # These answer beside their metrics; where those are off, that they live is all there is to see from here.
        port=${REEL_METRICS_PORT:-0}
        [ "$port" != 0 ] || exit 0
    fi
    # bash, because an interpreter's start every few seconds in every container is felt on a small host
    exec bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "GET /healthz HTTP/1.0\r\n\r\n" >&3 &&
        read -r -t 2 line <&3 && [[ $line == *" 200 "* ]]' "$port"
    ;;
*) exec "$@" ;;
esac
