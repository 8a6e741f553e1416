"""Tells who waits for a job that it has ended: one look at the database for all who wait in this process.

Called by ``accepted`` and ``events``. What ends within a second, such as a heat map, is found within a few
milliseconds; who has waited for long is told within half a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import anyio
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from reel_shared.db.engine import reading
from reel_shared.db.models import Job
from reel_shared.errors import DatabaseUnavailable
from reel_shared.jobs import TERMINAL
from reel_shared.web.stopping import is_stopping

_PAUSES = ((1.0, 0.015), (3.0, 0.05), (10.0, 0.2))
"""Seconds that the newest of all has waited at most, and the pause between two looks then."""
_LONGEST_PAUSE = 0.5


@dataclass(eq=False)
class _Waiter:
    job_id: str
    since: float
    over: anyio.Event = field(default_factory=anyio.Event)
    ended: bool = False


class _Watch:
    """Looks as long as somebody waits. For one event loop."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []
        self._arrived = anyio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, waiter: _Waiter, seconds: float) -> bool:
        self._waiters.append(waiter)
        self._arrived.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            with anyio.move_on_after(seconds):
                await waiter.over.wait()
        finally:
            self._waiters.remove(waiter)
        return waiter.ended

    async def _look(self) -> None:
        while self._waiters and not is_stopping():
            self._arrived = anyio.Event()
            ended = await run_in_threadpool(_ended, {waiter.job_id for waiter in self._waiters})
            for waiter in self._waiters:
                if waiter.job_id in ended:
                    waiter.ended = True
                    waiter.over.set()
            with anyio.move_on_after(self._pause()):
                await self._arrived.wait()
        for waiter in self._waiters:
            waiter.over.set()

    def _pause(self) -> float:
        waited = anyio.current_time() - max((one.since for one in self._waiters), default=0.0)
        return next((pause for limit, pause in _PAUSES if waited < limit), _LONGEST_PAUSE)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


async def ended_within(job_id: str, seconds: float, *, since: float | None = None) -> bool:
    """Wait for a job's end; whether it has come. At once, and False, when the server stops.

    Args:
        since: when the caller began to wait, on the event loop's clock; now, unless said.
    """
    watch = _watches.setdefault(asyncio.get_running_loop(), _Watch())
    waiter = _Waiter(job_id, anyio.current_time() if since is None else since)
    return await watch.wait(waiter, seconds)


def _ended(job_ids: Collection[str]) -> set[str]:
    try:
        with reading(alone=True) as session:
            found = session.connection().execute(_ENDED, {"these": list(job_ids)})
            return set(found.scalars())
    except DatabaseUnavailable:
        return set()  # they wait anyway; the database may be back before their time is over


_ENDED = sa.select(Job.__table__.c.id).where(
    Job.__table__.c.id.in_(sa.bindparam("these", expanding=True)), Job.__table__.c.state.in_(TERMINAL)
)
