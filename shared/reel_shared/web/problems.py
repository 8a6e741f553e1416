"""Turns every refusal and failure into problem details (RFC 9457); installed by ``app.create_app``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import sqlalchemy.exc
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from reel_shared.errors import (
    BadRequest,
    DatabaseUnavailable,
    Forbidden,
    NotFound,
    ReelError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedType,
    disk_is_full,
)
from reel_shared.web.schemas import Problem

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
PLACEHOLDERS = ("4XX", "5XX")
RESPONSES: dict[int | str, dict[str, Any]] = {code: {"description": ""} for code in PLACEHOLDERS}
"""For ``FastAPI(responses=…)``, which else would describe refusals of its own; ``document`` puts each operation's own
ones in their place."""

_BY_STATUS: dict[int, type[ReelError]] = {
    error.status: error
    for error in (BadRequest, Unauthorized, Forbidden, NotFound, TooLarge, UnsupportedType, TooManyRequests)
}


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def install(app: FastAPI) -> None:
    app.add_exception_handler(ReelError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(sqlalchemy.exc.TimeoutError, _no_connection)
    app.add_exception_handler(OSError, _no_room)


def components() -> dict[str, Any]:
    """Return the OpenAPI schemas of a problem, as ``refusals`` refers to them."""
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**problem.pop("$defs"), "Problem": problem}


def respond(
    scope: Mapping[str, Any], problem: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
) -> ProblemResponse:
    """Answer with a problem, adding ``instance`` and ``request_id`` from the ASGI scope."""
    found = {**problem, "instance": scope["path"], "request_id": scope["state"].get("request_id")}
    return ProblemResponse(found, status_code=found["status"], headers=dict(headers or {}))


def crashed(scope: Mapping[str, Any]) -> ProblemResponse:
    """Answer an error nobody foresaw; its story is in the log under the request id, not in the answer."""
    return respond(
        scope, ReelError("The server met an error it does not know; quote the request_id.").problem()
    )


def _known(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, ReelError)
    headers: dict[str, str] = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retryable or isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.extra.get("retry_after", 2))
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("http.failed", code=error.code, detail=error.detail)
    return respond(request.scope, error.problem(), headers=headers)


def _no_connection(request: Request, _error: Exception) -> ProblemResponse:
    return _known(request, DatabaseUnavailable("Every database connection is in use; try again in a moment."))


def _no_room(request: Request, error: Exception) -> ProblemResponse:
    if not disk_is_full(error):
        raise error
    return _known(
        request, Unavailable("The disk of this service is full; free some space where it keeps uploads.")
    )


def _http(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = error.detail if error.detail != status.phrase else ""
    if status in _BY_STATUS:
        if status == HTTPStatus.NOT_FOUND and not detail:
            detail = f"There is nothing at {request.url.path}; /openapi.json lists what there is."
        problem = _BY_STATUS[status](detail).problem()
    else:
        code = status.phrase.lower().replace(" ", "-")
        problem = {
            "type": f"urn:reelsight:problem:{code}",
            "title": status.phrase,
            "status": int(status),
            "detail": detail or f"{request.method} is answered with {status.phrase.lower()} here.",
        }
    return respond(request.scope, problem, headers=error.headers)


def _invalid(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    found: Sequence[Any] = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return respond(request.scope, BadRequest("The body is not valid JSON; send a JSON object.").problem())
    content_type = request.headers.get("content-type", "")
    if content_type and "json" not in content_type and any(_is_unread(item) for item in found):
        refusal = UnsupportedType("Send the body as JSON, with Content-Type: application/json.")
        return respond(request.scope, refusal.problem())
    errors = [{"pointer": _pointer(item["loc"]), "detail": _sentence(item)} for item in found]
    shown = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors[:3])
    more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    return respond(request.scope, {**Unprocessable(f"{shown}{more}").problem(), "errors": errors})


def _is_unread(item: Mapping[str, Any]) -> bool:
    """Whether the framework found no JSON in the body; a form that was read has fields, and errors of its own."""
    return item["loc"] == ("body",) and (item["type"] == "missing" or isinstance(item.get("input"), bytes))


def _pointer(location: Sequence[str | int]) -> str:
    """Name where the error is: a JSON pointer into the body, or ``query:name`` and the like."""
    where, *path = location
    escaped = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    return (
        "#" + "".join(f"/{part}" for part in escaped) if where == "body" else f"{where}:{'/'.join(escaped)}"
    )


def _sentence(item: Mapping[str, Any]) -> str:
    plain = {"missing": "is missing", "extra_forbidden": "is not a field of this request"}
    text: str = plain.get(item["type"]) or item["msg"]
    return text.removeprefix("Value error, ")
