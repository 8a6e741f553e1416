"""Looks at how polled jobs stand: for all who poll in this process at once. Called by ``accepted``.

The first to ask after a pause is answered at once. Where many poll, each look serves those who have asked since the
last one, so that a hundred of them cost ten changes of thread and ten questions to the database a second.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from weakref import WeakKeyDictionary

from starlette.concurrency import run_in_threadpool

from reel_shared.db.engine import reading
from reel_shared.web.envelope import Standing, standings

PAUSE_SECONDS = 0.1
"""Between the beginnings of two looks. Who polls is told to come back after a second at the earliest."""

Answer = asyncio.Future[Standing | None]


class _Looks:
    """For one event loop."""

    def __init__(self) -> None:
        self._asked: list[tuple[str, Answer]] = []
        self._looking: asyncio.Task[None] | None = None

    async def standing(self, job_id: str) -> Standing | None:
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        self._asked.append((job_id, answer))
        if self._looking is None or self._looking.done():
            # in a context of its own: it looks for others than the one whose request begins it
            self._looking = loop.create_task(self._look(), context=Context())
        return await answer

    async def _look(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            pause = asyncio.create_task(asyncio.sleep(PAUSE_SECONDS))
            await _answer(asked)
            await pause


async def _answer(asked: list[tuple[str, Answer]]) -> None:
    try:
        found = await run_in_threadpool(_read, {job_id for job_id, _ in asked})
    except Exception as error:  # each of them is answered with it
        for _, answer in asked:
            if not answer.done():
                answer.set_exception(error)
        return
    for job_id, answer in asked:
        if not answer.done():  # who asked may have gone
            answer.set_result(found.get(job_id))


def _read(job_ids: set[str]) -> dict[str, Standing]:
    with reading(alone=True) as session:
        return standings(session, job_ids)


_looks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Looks] = WeakKeyDictionary()


async def standing(job_id: str) -> Standing | None:
    """Return how a job stands, as read after this was called; None: there is none.

    Raises:
        DatabaseUnavailable: nobody can tell.
    """
    return await _looks.setdefault(asyncio.get_running_loop(), _Looks()).standing(job_id)
