"""Which refusals and failures each operation of the API can answer with; the OpenAPI document tells them by status.

Most follow from what an operation takes and whom it lets in. What only its code knows it says with ``refuses``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from fastapi.routing import APIRoute

from reel_shared.errors import (
    BadRequest,
    Conflict,
    DatabaseUnavailable,
    DeadlinePassed,
    Forbidden,
    NotFound,
    ReelError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unprocessable,
    UnsupportedType,
)

F = TypeVar("F", bound=Callable[..., Any])
Json = dict[str, Any]
_MARK = "refusals"
_EVERY_KEY = frozenset({"read", "submit", "demo"})
"""One of these scopes every key has that is no ``admin``, who may do all."""
_BOUNDS = frozenset({"enum", "const", "pattern", "format", "minLength", "maxLength", "$ref", "allOf"})

DETAILS: dict[type[ReelError], str] = {
    BadRequest: "The body is not valid JSON; send a JSON object.",
    Unauthorized: "Send an API key as 'Authorization: Bearer reel_…'.",
    Forbidden: "The API key needs the scope 'submit'.",
    NotFound: "There is no job job_1.",
    Conflict: "The job has already succeeded; there is nothing left to cancel.",
    TooLarge: "The body is larger than the 1048576 bytes allowed here; see GET /v1/limits.",
    UnsupportedType: "Send the body as JSON, with Content-Type: application/json.",
    Unprocessable: "#/label: is missing",
    TooManyRequests: "You may have 600 reads in 60 s; try again in 3 s.",
    ReelError: "The server met an error it does not know; quote the request_id.",
    DatabaseUnavailable: "Every database connection is in use; try again in a moment.",
    DeadlinePassed: "The picture's time had run out before the model was asked; allow it more.",
}
"""What each may say, as an example."""


def refuses(*errors: type[ReelError]) -> Callable[[F], F]:
    """Mark an endpoint with refusals of its own, beside those that follow from its parameters and body."""

    def mark(endpoint: F) -> F:
        setattr(endpoint, _MARK, errors)
        return endpoint

    return mark


def responses(operation: Json, verb: str, route: APIRoute, scopes: Iterable[str]) -> Json:
    """Return the responses of an operation's refusals by status, in the words of OpenAPI, each with an example.

    Args:
        scopes: one of which a caller needs; none where anybody may call.
    """
    found: dict[int, list[type[ReelError]]] = {}
    for error in (*_derived(operation, verb, frozenset(scopes)), *getattr(route.endpoint, _MARK, ())):
        if error not in found.setdefault(error.status, []):
            found[error.status].append(error)
    return {str(status): _response(found[status]) for status in sorted(found)}


def _derived(operation: Json, verb: str, scopes: frozenset[str]) -> Iterator[type[ReelError]]:
    parameters = operation.get("parameters", [])
    names = {each["name"] for each in parameters}
    body = operation.get("requestBody", {}).get("content", {})
    repeatable = "Idempotency-Key" in names
    if body or repeatable or {"cursor", "Grpc-Timeout"} & names:
        yield BadRequest
    if any(each["in"] == "path" for each in parameters):
        yield NotFound
    if repeatable:
        yield Conflict
    if body:
        yield from (TooLarge, UnsupportedType)
    if "application/json" in body or repeatable or any(map(_may_not_fit, parameters)):
        yield Unprocessable
    if "Grpc-Timeout" in names:
        yield DeadlinePassed
    if "security" in operation:
        yield from (Unauthorized, TooManyRequests, ReelError, DatabaseUnavailable)
        if verb != "get" or not scopes >= _EVERY_KEY:
            yield Forbidden


def _may_not_fit(parameter: Json) -> bool:
    """Whether a value can be wrong by itself: everything but a text without bounds that may be left out."""
    if parameter["in"] == "header":
        return False
    schema = parameter["schema"]
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    bound = any(_BOUNDS & each.keys() or each.get("type") != "string" for each in options)
    return bound or (parameter["in"] == "query" and parameter.get("required", False))


def _response(errors: list[type[ReelError]]) -> Json:
    first = errors[0]
    kind = next(one for one in first.__mro__ if one in DETAILS)
    example = first(DETAILS[kind]).problem()
    if first is Unprocessable:
        example["errors"] = [{"pointer": "#/label", "detail": "is missing"}]
    return {
        "description": "; ".join(dict.fromkeys(error.title for error in errors)),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example,
            }
        },
    }
