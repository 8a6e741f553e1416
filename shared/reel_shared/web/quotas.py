"""Counts each request against its caller's limits: 429 with a time to come back, and how much is left on the others.

Called by the dependencies that say who may call (``web.auth``). A key is counted as itself; visitors of the demo by
their address, as the server knows it: ``X-Forwarded-For`` counts only where a trusted proxy wrote it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio import CapacityLimiter
from starlette.requests import Request

from reel_shared.buckets import Charge, Verdict, buckets
from reel_shared.errors import TooLarge, TooManyRequests
from reel_shared.quotas import Class, policy_of
from reel_shared.security import DEMO, Principal

F = TypeVar("F", bound=Callable[..., Any])
Settle = Callable[[int, int, bool], Awaitable[None]]
"""Called with the answer's status, the body's bytes as they were read, and whether the answer was a remembered one."""

HEADERS = "reel_quota_headers"
SETTLE = "reel_quota_settle"
LONGEST_SECONDS = 0.3
"""The longest a request waits to be counted, whatever holds Redis up, even a name server."""

_PENDING = "reel_quota_pending"
_CLASSES = "quota_classes"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_IPV6_PREFIX = 64
"""What one household or host is given: whoever has an IPv6 address has all of these."""
_asking = CapacityLimiter(16)


def counts_as(*classes: Class) -> Callable[[F], F]:
    """Mark an endpoint that is not counted by its method: ``counts_as("writes")`` for a 202 that submits no job."""

    def mark(endpoint: F) -> F:
        setattr(endpoint, _CLASSES, classes)
        return endpoint

    return mark


async def admit(request: Request, principal: Principal) -> None:
    """Count a request; of a prediction the count goes on beside, until ``admitted`` asks for it.

    Raises:
        TooManyRequests: over a limit; nothing was counted.
        TooLarge: a file larger than all that its sender may send in a day.
    """
    charges = _charges(request, principal)
    if not charges:
        return
    if charges[0].policy.name == "predictions":
        request.scope[_PENDING] = asyncio.ensure_future(_take(request, principal, charges))
        return
    _judge(request, await _take(request, principal, charges))
    if any(charge.policy.name in ("jobs", "upload-bytes") for charge in charges):
        request.scope[SETTLE] = partial(_settle, _caller(request, principal), charges)


async def admitted(request: Request) -> None:
    """Wait for the count that ``admit`` began. Raises as it does."""
    pending = request.scope.get(_PENDING)
    if pending is not None:
        _judge(request, await pending)


def _charges(request: Request, principal: Principal) -> list[Charge]:
    found = []
    for name in _classes(request):
        policy = policy_of(principal, name)
        if policy is not None:
            found.append(Charge(policy, _announced(request) if name == "upload-bytes" else 1))
    return found


def _classes(request: Request) -> tuple[Class, ...]:
    marked: tuple[Class, ...] | None = getattr(request.scope.get("endpoint"), _CLASSES, None)
    if marked is not None:
        found = marked
    elif request.method in _READS:
        return ("reads",)
    else:
        submits = getattr(request.scope.get("route"), "status_code", None) == 202
        found = ("writes", "jobs") if submits else ("writes",)
    return (*found, "upload-bytes") if "predictions" not in found and _brings_file(request) else found


def _brings_file(request: Request) -> bool:
    takes = getattr(request.scope.get("endpoint"), "body_limit", None) is not None
    return takes and "json" not in request.headers.get("content-type", "")


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


async def _take(request: Request, principal: Principal, charges: list[Charge]) -> Verdict:
    return await _ask(_caller(request, principal), charges, force=False)


async def _ask(caller: str, charges: list[Charge], *, force: bool) -> Verdict:
    with anyio.move_on_after(LONGEST_SECONDS):
        return await anyio.to_thread.run_sync(
            partial(buckets().take, caller, charges, force=force), abandon_on_cancel=True, limiter=_asking
        )
    return buckets().take_alone(caller, charges, force=force)


def _judge(request: Request, verdict: Verdict) -> None:
    request.scope[HEADERS] = _headers(verdict)
    refused = verdict.refused
    if refused is None:
        return
    if refused.name == "upload-bytes" and _announced(request) > refused.quota:
        raise TooLarge(
            f"You may send {refused.quota} bytes a day, which this body is larger than.", limit=refused.quota
        )
    seconds = max(1, math.ceil(verdict.wait_seconds))
    raise TooManyRequests(
        f"You may have {refused.quota} {refused.name} in {refused.window} s; try again in {seconds} s.",
        retry_after=seconds,
        **{"violated-policies": [refused.name]},
    )


def _headers(verdict: Verdict) -> dict[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers-10 writes them; ``t`` is when the quota is whole again."""
    policies = (
        f'"{one.policy.name}";q={one.policy.quota};w={one.policy.window}' for one in verdict.standings
    )
    standing = (
        f'"{one.policy.name}";r={one.remaining};t={math.ceil(one.reset_seconds)}' for one in verdict.standings
    )
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(standing)}


async def _settle(caller: str, charges: list[Charge], status: int, read: int, replayed: bool) -> None:
    """Give back the job that was not submitted, and count the bytes that came, whatever was announced."""
    due = []
    for policy, cost in charges:
        if policy.name == "jobs" and (status >= 400 or replayed):
            due.append(Charge(policy, -cost))
        elif policy.name == "upload-bytes" and read != cost:
            due.append(Charge(policy, read - cost))
    if due:
        await _ask(caller, due, force=True)


def _caller(request: Request, principal: Principal) -> str:
    return f"ip:{_address(request)}" if principal.id == DEMO.id else principal.id


def _address(request: Request) -> str:
    host = request.client.host if request.client else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False).network_address)


async def settle(scope: MutableMapping[str, Any], status: int, read: int, *, replayed: bool) -> None:
    """Count what only the end of a request tells; by the middleware, after the answer."""
    due: Settle | None = scope.pop(SETTLE, None)
    if due is not None:
        await due(status or 499, read, replayed)
