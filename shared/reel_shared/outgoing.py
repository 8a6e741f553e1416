"""Requests to addresses that strangers name: public hosts, bounded bytes and time; for ingest and for webhooks."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

import httpcore
import httpx

from reel_shared.addresses import Resolver, is_public, resolve
from reel_shared.connection import GuardedBackend, Refused

_PORTS = {"http": 80, "https": 443}
_URL_LENGTH = 4096
_HOST = re.compile(rb"[A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: httpx.Headers
    body: bytes
    """Of an answer with status 200 whose body was wanted."""


class Guard:
    """Knows which addresses may be asked and asks them; safe to share between threads.

    ``allowed_hosts`` are ``host:port`` that may be asked although they are private or on an odd port. Proxies and
    other wishes of the environment are not followed, nor are redirects. ``tls`` says which certificates are trusted;
    the usual public ones unless given.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Collection[str] = (),
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = {host.lower() for host in allowed_hosts}
        self._resolver = resolver
        self._tls = tls or _tls()

    def checked(self, url: str) -> httpx.URL:
        """Apply the rules that need no network.

        Raises ``Refused`` with one of: ``bad-url``, ``scheme``, ``credentials``, ``private-address``, ``port``.
        """
        try:
            if len(url) > _URL_LENGTH:
                raise ValueError("too long")
            target = httpx.URL(url.strip())
            port = target.port or _PORTS.get(target.scheme, 0)
            host = target.host  # decodes the name, which may fail on its own
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise Refused("bad-url", f"This is not an address: {url[:200]!r}.") from error
        if target.scheme not in _PORTS:
            raise Refused("scheme", "Only http and https addresses are fetched.")
        if not host or not _HOST.fullmatch(target.raw_host):
            raise Refused("bad-url", f"The address names no host: {url[:200]!r}.")
        if target.userinfo:
            raise Refused("credentials", "Addresses with a user name or password are not fetched.")
        if not self.exempt(target):
            if _is_literal(host) and not is_public(host):
                raise Refused("private-address", f"The host {host!r} is not on the public internet.")
            if port not in _PORTS.values():
                raise Refused("port", f"Port {port} is not fetched from; only 80 and 443.")
        return target

    def exempt(self, target: httpx.URL) -> bool:
        """Whether the address is one of ``allowed_hosts``."""
        host = f"[{target.host}]" if ":" in target.host else target.host
        return f"{host}:{target.port or _PORTS[target.scheme]}".lower() in self._allowed

    def ask(
        self,
        target: httpx.URL,
        *,
        deadline: float,
        headers: Mapping[str, str],
        max_bytes: int | None,
        method: str = "GET",
        content: bytes | None = None,
    ) -> Answer:
        """Send one request over a connection of its own and read the answer within its bounds.

        Args:
            target: what ``checked`` returned.
            deadline: on the monotonic clock, for all of it.
            max_bytes: of an answer with status 200; None: no body is read.

        Raises ``Refused`` with one of: ``private-address``, ``unresolvable``, ``unreachable``, ``tls``, ``timeout``,
        ``bad-url``, ``too-many-bytes``.
        """
        backend = GuardedBackend(exempt=self.exempt(target), resolver=self._resolver, deadline=deadline)
        url = httpcore.URL(
            scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
        )
        try:
            with (
                httpcore.ConnectionPool(
                    ssl_context=self._tls, network_backend=backend, max_keepalive_connections=0
                ) as pool,
                pool.stream(method, url, headers=list(headers.items()), content=content) as response,
            ):
                received = httpx.Headers(response.headers)
                wanted = max_bytes is not None and response.status == 200
                body = _read(response, received, max_bytes or 0) if wanted else b""
                return Answer(response.status, received, body)
        except httpcore.TimeoutException as error:
            raise Refused("timeout", "The server took too long.", transient=True) from error
        except httpcore.UnsupportedProtocol as error:
            raise Refused("bad-url", f"This address cannot be asked for: {target}.") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            if isinstance(error.__cause__ or error.__context__, ssl.SSLError):
                raise Refused(
                    "tls", f"The server's certificate or encryption is not trusted: {error}."
                ) from error
            raise Refused("unreachable", f"The server cannot be reached: {error}.", again=True) from error


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _read(response: httpcore.Response, headers: httpx.Headers, max_bytes: int) -> bytes:
    too_many = Refused("too-many-bytes", f"The file is larger than {max_bytes} bytes.")
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_many
    body = bytearray()
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_many
    return bytes(body)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
