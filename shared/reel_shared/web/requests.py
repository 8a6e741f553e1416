"""What happens around every request: its id, the log line, metrics, security headers, the body's size limit.

A plain ASGI middleware, so that answers stream through it; installed by ``app.create_app`` as the outermost.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reel_shared import origins, tracing
from reel_shared.ids import new_id
from reel_shared.settings import settings
from reel_shared.telemetry import REQUEST_SECONDS
from reel_shared.web import problems, quotas

log = structlog.get_logger(__name__)
F = TypeVar("F", bound=Callable[..., Any])
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Set on every answer that does not set them itself; pages bring their own policy."""
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_FORM_OVERHEAD = 2**20
_TIGHTER = "reel_body_limit"
_READ = "reel_body_read"


def large_body(limit: Callable[[], int]) -> Callable[[F], F]:
    """Mark an endpoint that takes files: bodies that are not JSON may have ``limit()`` bytes.

    Everywhere else, and for JSON always, ``limits.json_bytes`` holds.
    """

    def mark(endpoint: F) -> F:
        endpoint.body_limit = limit  # type: ignore[attr-defined]
        return endpoint

    return mark


def tighten_body(scope: Scope, limit: int) -> None:
    """Allow this request's body fewer bytes than its endpoint would; to be called before it is read."""
    scope[_TIGHTER] = limit


class Requests:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        trace = origins.read_traceparent(headers.get("traceparent", ""))
        about = {"http.request.method": _method(scope), "url.path": scope["path"]}
        with (
            tracing.span(_method(scope), "SERVER", trace, about, quiet=scope["path"] in _QUIET) as span,
            origins.bound(origins.Origin(request_id, span.traceparent)),
        ):
            await self._observed(scope, receive, send, request_id, span)

    async def _observed(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, span: tracing.Span
    ) -> None:
        started = time.perf_counter()
        status, replayed = 0, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, replayed
            if message["type"] == "http.response.start":
                status = message["status"]
                replayed = _complete(message, {"X-Request-ID": request_id, **scope.get(quotas.HEADERS, {})})
            await send(message)

        try:
            await self.app(scope, _limited(scope, receive), send_with_headers)
        except ClientDisconnect:
            status = status or 499  # as nginx notes a caller who left; nobody is there to be answered
        except Exception:
            log.exception("http.crashed", method=scope["method"], path=scope["path"])
            if status:
                raise  # the answer is under way; only breaking the connection shows that it is not whole
            await problems.crashed(scope)(scope, receive, send_with_headers)
        finally:
            _record(scope, status, time.perf_counter() - started, span)
            await quotas.settle(scope, status, scope.get(_READ, 0), replayed=replayed)


def _complete(message: Message, ours: Mapping[str, str]) -> bool:
    """Add to an answer's headers ``ours``, and those of ``HEADERS`` that it has not; whether it was remembered."""
    given = list(message.get("headers", ()))
    names = {name.lower() for name, _ in given}
    given += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in ours.items()]
    message["headers"] = given + [pair for pair in _RAW_HEADERS if pair[0] not in names]
    return b"idempotent-replayed" in names


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "OTHER"


def _record(scope: Scope, status: int, seconds: float, span: tracing.Span) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    method = _method(scope)
    about = {"http.route": route, "http.response.status_code": status}
    span.note(about, name=f"{method} {route}", failed=status >= 500)
    REQUEST_SECONDS.labels(method=method, route=route, status=str(status)).observe(seconds)
    if route not in _QUIET:
        log.info("http.request", method=method, path=scope["path"], status=status, seconds=round(seconds, 4))


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Count what is read of the body. The limit is looked up at the first read: the route is known by then."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        limit = _body_limit(scope)
        if read == 0 and _announced(scope) > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            scope[_READ] = read
            if read > limit:
                raise _too_large(limit)
        return message

    return counted


def _body_limit(scope: Scope) -> int:
    limit = getattr(scope.get("endpoint"), "body_limit", None)
    if limit is None or "json" in Headers(scope=scope).get("content-type", ""):
        return settings().limits.json_bytes
    allowed: int = min(limit(), scope.get(_TIGHTER, sys.maxsize))
    return allowed + _FORM_OVERHEAD


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _too_large(limit: int) -> HTTPException:
    # FastAPI lets an HTTPException pass while it reads a body; any other error would become a 400.
    return HTTPException(413, f"The body is larger than the {limit} bytes allowed here; see GET /v1/limits.")
