"""Completes the OpenAPI document: examples of bodies and answers, the headers and refusals that FastAPI cannot see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from fastapi.routing import APIRoute

from reel_shared.web import refusals
from reel_shared.web.auth import scopes_of
from reel_shared.web.examples import ANSWERS, BODIES, Maker
from reel_shared.web.problems import MEDIA_TYPE, PLACEHOLDERS
from reel_shared.web.schemas import JobView

Json = dict[str, Any]

NOT_ONCE = ("/cancel", "/stop", "/redeliver", "/ping", "/enable", "/disable", "/predict", "/done")
"""Ends of POST paths that read no Idempotency-Key: to do them twice changes nothing, or they change nothing."""
_NOT_ONCE_PATHS = ("/v1/uploads", "/v1/feedback", "/v1/queues/")

HEADERS: Json = {
    "X-Request-ID": ("the caller's, or one made here; the log has it too", True),
    "RateLimit-Policy": ("the caller's limits: quota `q` in a window of `w` seconds", False),
    "RateLimit": ("what is left of each, `r`, and the seconds until it is whole again, `t`", False),
    "Location": ("where the job is", False),
    "Retry-After": ("seconds until it is worth asking again", False),
    "ETag": ("of this state; send it as `If-None-Match`", False),
    "Preference-Applied": ("`wait=N`, when the answer was held", False),
    "Idempotent-Replayed": ("`true`: what the first request with this Idempotency-Key was answered", False),
    "WWW-Authenticate": ("`Bearer`, with 401", False),
    "Cache-Status": ("whether the answer was remembered", False),
}
"""Of answers: what each says, and whether it is always there."""

PARAMETERS: Json = {
    "Idempotency-Key": "at most 255 printable ASCII characters; a repetition is answered as the first request was",
    "Prefer": "`wait=N`: hold the answer until the job has ended, for at most N (30) seconds",
    "If-None-Match": "the last `ETag`; 304 when nothing has changed",
    "Last-Event-ID": "the last event that was read; the stream goes on after it",
}
"""Headers that a caller may send."""


def complete(document: Json, routes: Mapping[tuple[str, str], APIRoute]) -> None:
    """Add examples, headers and each operation's own refusals to a document, in place.

    Args:
        routes: by path and verb in lower case.
    """
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    if "JobView" in schemas:  # FastAPI leaves nulls out of all that it writes, out of examples too
        schemas["JobView"]["examples"] = JobView.model_json_schema()["examples"]
    maker = Maker(schemas)
    components["headers"] = {
        name: {"description": words, "required": always, "schema": {"type": "string"}}
        for name, (words, always) in HEADERS.items()
    }
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            name = f"{verb.upper()} {path}"
            _take(operation, list(_sent(verb, path, operation)))
            route = routes[path, verb]
            answers = operation["responses"]
            for placeholder in PLACEHOLDERS:
                answers.pop(placeholder)
            answers.update(refusals.responses(operation, verb, route, scopes_of(route)))
            _answer(operation, path, verb)
            _show(operation, name, maker)


def _show(operation: Json, name: str, maker: Maker) -> None:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None and name in BODIES:
        body["example"] = BODIES[name]
    for status, answer in operation["responses"].items():
        for media, content in answer.get("content", {}).items():
            if media == MEDIA_TYPE:
                continue
            if name in ANSWERS and status.startswith("2"):
                content["example"] = ANSWERS[name]
            elif media == "application/json" and "schema" in content:
                content["example"] = _with_request(maker.make(content["schema"]), name, status)


def _with_request(example: Any, name: str, status: str) -> Any:
    """Let a submitted job show the body's example as its request, as it stands when it is accepted."""
    if status != "202" or not isinstance(example, dict) or "request" not in example:
        return example
    from reel_shared.client import PATHS  # what calls the API takes a while to load; a server seldom needs it

    kind = next((kind.name for kind, path in PATHS.items() if name == f"POST {path}"), None)
    if kind is None:
        return example
    request = {key: value for key, value in BODIES[name].items() if key != "metadata"}
    progress = {"done": 0, "total": None, "unit": "", "message": ""}
    waiting = {"state": "queued", "attempt": 0, "started_at": None, "progress": progress}
    metadata = BODIES[name].get("metadata", {})
    return {**deepcopy(example), "kind": kind, **waiting, "request": request, "metadata": metadata}


def _sent(verb: str, path: str, operation: Json) -> Iterator[str]:
    if verb == "post" and not path.endswith(NOT_ONCE) and not path.startswith(_NOT_ONCE_PATHS):
        yield "Idempotency-Key"
        if "202" in operation["responses"]:
            yield "Prefer"
    if path == "/v1/jobs/{job_id}":
        yield from ("Prefer", "If-None-Match")
    if path.endswith("/events"):
        yield "Last-Event-ID"


def _take(operation: Json, names: list[str]) -> None:
    if names:
        plain = {"in": "header", "required": False, "schema": {"type": "string"}}
        told = operation.setdefault("parameters", [])
        told.extend({"name": name, "description": PARAMETERS[name], **plain} for name in names)


def _answer(operation: Json, path: str, verb: str) -> None:
    sent = {one["name"] for one in operation.get("parameters", [])}
    for status, answer in operation["responses"].items():
        names = ["X-Request-ID"]
        if "security" in operation:
            names += ["RateLimit-Policy", "RateLimit"]
        if status == "202" and "Idempotency-Key" in sent:
            names += ["Location", "Retry-After"]
        if "Prefer" in sent and status in ("200", "202"):
            names += ["Preference-Applied", "ETag", "Retry-After"]
        if "Idempotency-Key" in sent and status.startswith("2"):
            names.append("Idempotent-Replayed")
        if verb == "get" and status == "200" and path.endswith(("/evaluation", "/certificate", "/report")):
            names.append("ETag")
        if path.endswith("/predict") and status == "200":
            names.append("Cache-Status")
        if status == "401":
            names.append("WWW-Authenticate")
        if status in ("429", "503") and "security" in operation:
            names.append("Retry-After")
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(names)}
