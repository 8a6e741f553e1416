"""``/healthz`` (the process lives), ``/readyz`` (its parts answer) and ``/metrics``, outside ``/v1``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import anyio
import sqlalchemy as sa
from anyio import CapacityLimiter
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from reel_shared.db.engine import reading
from reel_shared.errors import ReelError
from reel_shared.settings import settings
from reel_shared.storage import storage

CHECK_SECONDS = 3.0


class Check(NamedTuple):
    """A named part; ``run`` raises when it does not answer. A dict that it returns is shown."""

    name: str
    run: Callable[[], object]


def database() -> None:
    with reading() as session:
        session.execute(sa.text("SELECT 1"))


def redis() -> None:
    # A tenth of a second of CPU that starting to serve need not wait for.
    from redis import Redis

    url = settings().redis.url.get_secret_value()
    with Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
        client.ping()


PLATFORM = (
    Check("database", database),
    Check("redis", redis),
    Check("storage", lambda: storage().ready()),
)


def health_router(checks: Sequence[Check]) -> APIRouter:
    router = APIRouter(tags=["health"])
    everything = (*PLATFORM, *checks)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", response_model=dict[str, Any])
    async def readyz() -> Response:
        found = await look(everything)
        ready = all(part["ok"] for part in found.values())
        content = {"status": "ready" if ready else "unready", "checks": found}
        return JSONResponse(content, status_code=200 if ready else 503)

    @router.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
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
    started = time.perf_counter()
    detail = f"No answer within {CHECK_SECONDS:g} s."
    ok, facts = False, {}
    with anyio.move_on_after(CHECK_SECONDS):
        try:
            told = await anyio.to_thread.run_sync(check.run, abandon_on_cancel=True, limiter=threads)
            ok, detail, facts = True, "", told if isinstance(told, dict) else {}
        except ReelError as error:
            detail = error.detail
        except Exception as error:
            detail = f"{type(error).__name__}: it does not answer."
    seconds = round(time.perf_counter() - started, 4)
    found[check.name] = {**facts, "ok": ok, "seconds": seconds, **({"detail": detail} if detail else {})}
