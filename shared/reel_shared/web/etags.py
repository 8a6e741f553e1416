"""Conditional GET: an ETag for what is shown, and 304 when the caller has it already."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


def matches(request: Request, etag: str) -> bool:
    """Whether ``If-None-Match`` names ``etag``; weak comparison, as RFC 9110 asks for GET."""
    wanted = request.headers.get("if-none-match", "")
    names = {name.strip().removeprefix("W/") for name in wanted.split(",")}
    return "*" in names or etag.removeprefix("W/") in names


def conditional(
    request: Request, make: Callable[[], object], etag: str, *, headers: dict[str, str] | None = None
) -> Response:
    """Answer 200 with what ``make`` returns as JSON, or 304 and make nothing. ``etag`` comes quoted: ``W/"7"``."""
    if matches(request, etag):
        return not_modified(etag, headers=headers)
    return JSONResponse(make(), headers=_headers(etag, headers))


def not_modified(etag: str, *, headers: dict[str, str] | None = None) -> Response:
    """Answer 304."""
    return Response(status_code=304, headers=_headers(etag, headers))


def _headers(etag: str, more: dict[str, str] | None) -> dict[str, str]:
    return {"ETag": etag, "Vary": "Authorization", **(more or {})}
