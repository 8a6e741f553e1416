"""Holds every answer that a test gets from an application in its process against the OpenAPI document.

A plugin of pytest: a status that the document does not list for the operation fails the test that saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from reel_shared.web import requests
from reel_shared.web.app import routes_of

_GONE = 499
"""Noted where the caller left before the answer; nobody saw it."""
_listed: dict[tuple[Callable[..., Any], str], frozenset[str]] = {}
"""By endpoint and verb: an application of a test may have endpoints of its own under the same paths."""
_unlisted: list[str] = []
_record = requests._record


def _compared(scope: MutableMapping[str, Any], status: int, *rest: Any) -> None:
    _record(scope, status, *rest)
    route = scope.get("route")
    if status in (0, _GONE) or not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    if not route.endpoint.__module__.startswith("reel_"):
        return  # a test's own endpoint
    operation = (route.endpoint, scope["method"].lower())
    if operation not in _listed:
        _list(scope["app"])
    if str(status) not in _listed.get(operation, {str(status)}):
        _unlisted.append(f"{scope['method']} {route.path} was answered with {status}")


def _list(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    for route in routes_of(app):
        for verb in route.methods or ():
            if route.include_in_schema and verb.lower() in paths.get(route.path, {}):
                responses = paths[route.path][verb.lower()]["responses"]
                _listed[route.endpoint, verb.lower()] = frozenset(responses)


@pytest.fixture(autouse=True, scope="session")
def _answers_are_compared() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "_record", _compared)
        yield


@pytest.fixture(autouse=True)
def _answers_are_listed(_answers_are_compared: None) -> Iterator[None]:
    _unlisted.clear()
    yield
    assert not _unlisted, f"the OpenAPI document does not list: {sorted(set(_unlisted))}"
