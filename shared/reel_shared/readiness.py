"""What a process needs before it is of use: the database, Redis and storage, each asked once by ``ask``.

``web.health`` answers ``/readyz`` of APIs with it, ``probes`` that of workers and the reaper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import sqlalchemy as sa

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


def ask(check: Check) -> dict[str, Any]:
    """Run a check: ``ok``, ``seconds``, its facts, and what is wrong in words that tell no secret."""
    started = time.perf_counter()
    ok, detail, facts = False, "", {}
    try:
        told = check.run()
        ok, facts = True, told if isinstance(told, dict) else {}
    except ReelError as error:
        detail = error.detail
    except Exception as error:
        detail = f"{type(error).__name__}: it does not answer."
    seconds = round(time.perf_counter() - started, 4)
    return {**facts, "ok": ok, "seconds": seconds, **({"detail": detail} if detail else {})}


def summary(found: dict[str, dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of ``/readyz``."""
    ready = all(part["ok"] for part in found.values())
    content = {"status": "ready" if ready else "unready", "checks": dict(sorted(found.items()))}
    return 200 if ready else 503, content


def silent(seconds: float) -> dict[str, Any]:
    """What is told of a check that has not come back within ``seconds``."""
    return {"ok": False, "seconds": seconds, "detail": f"No answer within {seconds:g} s."}
