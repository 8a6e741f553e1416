"""Which internet addresses may be fetched from: public ones only; called by outgoing and connection."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

Resolver = Callable[[str, int], list[str]]
"""Host and port to addresses, as text. Raises ``OSError`` when there is none."""

# Not all of it is marked as private everywhere: protocol assignments, 6to4 relays, Azure's metadata service.
_REFUSED_V4 = [
    ipaddress.IPv4Network(network)
    for network in ("0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")
]
_TEREDO = ipaddress.IPv6Network("2001::/32")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")
_V4_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
_ISATAP = 0x5EFE


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for every address of a host. Also understands 2130706433 and 0x7f.1, as browsers do."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(text: str) -> bool:
    """Whether an address is an ordinary public one, also behind every wrapping of IPv4 in IPv6.

    ``is_global`` alone is not enough: it holds for multicast, for 6to4 and for NAT64 of 127.0.0.1.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TEREDO or address in _NAT64_LOCAL:
            return False
        inner = _inner(address)
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local:
            return False
    elif any(address in network for network in _REFUSED_V4):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    wrapped = any(address in network for network in (_NAT64, _V4_COMPATIBLE, _V4_TRANSLATED))
    isatap = (int(address) >> 32) & 0xFFFF == _ISATAP
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if wrapped or isatap else None
