"""Network connections that only go to checked addresses and end at a deadline; used by outgoing."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import httpcore

from reel_shared import errors
from reel_shared.addresses import Resolver, is_public

T = TypeVar("T")


class Refused(errors.ReelError):
    """Something that is not fetched or not used; ``reason`` is the short word it is counted under."""

    status, code, title = 422, "fetch-refused", "The address cannot be fetched"

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        again: bool = False,
        after: float | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(detail, reason=reason)
        self.reason = reason
        self.again = again
        """Whether trying again soon may help."""
        self.after = after
        """Seconds the server asked to wait before that."""
        self.transient = again if transient is None else transient
        """Whether trying again some other day may help."""


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves a host once, refuses it if any of its addresses is not public, and connects to what it checked.

    Name and TLS checks stay on the host's name; only the address dialled is pinned, so a name that resolves to
    another address a moment later gains nothing.
    """

    def __init__(self, *, exempt: bool, resolver: Resolver, deadline: float) -> None:
        self._exempt = exempt
        self._resolver = resolver
        self._deadline = deadline
        self._dial = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception = httpcore.ConnectError("no address")
        for address in self._addresses(host, port):
            left = remaining(self._deadline, httpcore.ConnectTimeout)
            try:
                stream = self._dial.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = failure
            else:
                return _DeadlineStream(stream, self._deadline)
        raise error

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = _within(self._deadline, lambda: self._resolver(host, port))
        except (OSError, UnicodeError) as error:
            again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
            raise Refused("unresolvable", f"The host {host!r} has no address.", again=again) from error
        if not self._exempt and not all(is_public(address) for address in addresses):
            raise Refused("private-address", f"The host {host!r} is not on the public internet.")
        return addresses


class _DeadlineStream(httpcore.NetworkStream):
    """A stream whose every step ends at the deadline, so that a slow drip of bytes cannot outlast it."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, remaining(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, remaining(self._deadline, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = remaining(self._deadline, httpcore.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _within(deadline: float, work: Callable[[], T]) -> T:
    """Return what ``work`` returns; the system's resolver knows no deadline, so it is left behind at ours."""
    results: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(work())
        except Exception as error:
            results.put(error)

    left = remaining(deadline, httpcore.ConnectTimeout)
    threading.Thread(target=run, name="resolve", daemon=True).start()
    try:
        result = results.get(timeout=left)
    except queue.Empty:
        raise httpcore.ConnectTimeout("the name was not resolved in time") from None
    if isinstance(result, Exception):
        raise result
    return result


def remaining(deadline: float, error: type[httpcore.TimeoutException]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise error("the deadline has passed")
    return left
