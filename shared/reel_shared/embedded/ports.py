"""Owns the choice of free TCP ports on the loopback interface for embedded servers."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"

# Below Linux' range for outgoing connections (32768 and up): up there a client that retries while its server
# is down may be given the server's own port, and talks to itself.
_LOWEST, _HIGHEST = 12_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(*, taken: set[int] | None = None, and_plus: int = 0) -> int:
    """Return a random free port outside ``taken``; with ``and_plus``, the port that far above is free too."""
    taken = taken or set()
    for _ in range(1000):
        port = random.randrange(_LOWEST, _HIGHEST - and_plus)
        wanted = {port, port + and_plus}
        if not wanted & taken and all(is_free(each) for each in wanted):
            return port
    raise OSError("no free port found between 12000 and 32000")
