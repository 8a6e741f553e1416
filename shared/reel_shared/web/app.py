"""``create_app``: the FastAPI application of a service, or of all of them in one process.

Each service's ``api.py`` has ``app()``, which uvicorn calls as a factory; the embedded launcher passes every
router to one ``create_app``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from reel_shared import outbox  # noqa: F401  its listener sends submitted jobs after each commit
from reel_shared.web import document, problems
from reel_shared.web.health import Check, health_router
from reel_shared.web.requests import Requests

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schemas = super().openapi().setdefault("components", {}).setdefault("schemas", {})
            schemas.update(problems.components())
            routes = {
                (route.path, verb.lower()): route for route in routes_of(self) for verb in route.methods or ()
            }
            document.complete(self.openapi_schema or {}, routes)
        return super().openapi()


def routes_of(router: FastAPI | APIRouter) -> Iterator[APIRoute]:
    """Every route of a router and of the routers in it."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif (inner := getattr(route, "original_router", None)) is not None:
            yield from routes_of(inner)


def create_app(
    title: str,
    routers: Sequence[APIRouter],
    *,
    ready: Sequence[Check] = (),
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        routers: with their full paths (``/v1/…``).
        ready: what ``/readyz`` checks besides database, Redis and storage.
        lifespan: an async context manager function around the application's life.
    """
    app = Application(
        title=title,
        version=version("reel-shared"),
        responses=problems.RESPONSES,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    problems.install(app)
    app.add_middleware(Requests)
    for router in (*routers, health_router(ready)):
        app.include_router(router)
    return app
