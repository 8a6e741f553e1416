"""``/healthz`` (the process lives), ``/readyz`` (its parts answer) and ``/metrics``, outside ``/v1``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
from anyio import CapacityLimiter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reel_shared.errors import NotFound
from reel_shared.readiness import CHECK_SECONDS, PLATFORM, Check, ask, silent, summary
from reel_shared.web.routing import Router

__all__ = ["PLATFORM", "Check", "health_router", "look"]


NOT_READY = {
    "model": dict[str, Any],
    "description": "a part does not answer; `checks` says which and why",
}


def health_router(checks: Sequence[Check]) -> Router:
    router = Router(tags=["health"])
    everything = (*PLATFORM, *checks)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @router.get("/readyz", response_model=dict[str, Any], responses={503: NOT_READY})
    async def readyz() -> Response:
        """Database, Redis and storage answer; 503 otherwise. Of inference by itself also: the active model is
        warm; `checks.model` says which it is and what runs it."""
        status, content = summary(await look(everything))
        return JSONResponse(content, status_code=status)

    @router.get("/metrics", include_in_schema=False)
    def metrics(request: Request) -> Response:
        # Figures are for the inside: every edge says for whom it asks, and no caller can take that away again.
        if "x-forwarded-for" in request.headers:
            raise NotFound("There is nothing here.")
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def look(checks: Sequence[Check] = PLATFORM) -> dict[str, dict[str, Any]]:
    """Run every check at once; return, by name, whether it answers (``ok``), in how many ``seconds``, and why not."""
    found: dict[str, dict[str, Any]] = {}
    # A pool of their own: checks that hang must not take the threads that endpoints run in.
    threads = CapacityLimiter(len(checks))
    async with anyio.create_task_group() as group:
        for check in checks:
            group.start_soon(_run, check, found, threads)
    return dict(sorted(found.items()))


async def _run(check: Check, found: dict[str, dict[str, Any]], threads: CapacityLimiter) -> None:
    found[check.name] = silent(CHECK_SECONDS)
    with anyio.move_on_after(CHECK_SECONDS):
        found[check.name] = await anyio.to_thread.run_sync(
            ask, check, abandon_on_cancel=True, limiter=threads
        )
