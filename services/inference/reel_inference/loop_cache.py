"""The memory of answers for the API's event loop: asked in it, without a thread, by one connection.

What is asked or kept while a trip to Redis is under way goes with the next one, so that under load many pictures share
a trip. A thread for each would cost a lone answer an eighth of its time: threads take Python from the lanes.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from reel_inference.cache import Looked, Memory, Status, found, written
from reel_shared.quick_redis import connect_in_loop

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from reel_shared.contracts import Prediction

LONGEST_SECONDS = 0.25
"""The longest a picture waits for its memory, whatever holds it up: even a name server."""
KEEP_SECONDS = 0.05
"""How long an answer waits for a question to go to Redis with."""


class _Asked(NamedTuple):
    question: str
    looked: asyncio.Future[Looked]


class LoopAnswers(Memory):
    """For one event loop; every method is called in it."""

    def __init__(self, url: str, *, entries: int, seconds: int) -> None:
        super().__init__(url, entries=entries, seconds=seconds)
        self._asked: list[_Asked] = []
        self._kept: dict[str, Prediction] = {}
        self._trips: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None

    @cached_property
    def _redis(self) -> Redis:
        return connect_in_loop(self._url)

    def prepare(self) -> None:
        """Import what the first question would wait for; from any thread."""
        if self.on:
            _ = self._redis

    async def look(self, content: bytes, fingerprint: str, options: str, *, fresh: bool = False) -> Looked:
        """As ``Answers.look``, within ``LONGEST_SECONDS``."""
        looked = self._unasked(content, fingerprint, options, fresh=fresh)
        if looked.status != Status.MISS:
            return looked
        asked = _Asked(looked.question, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        self._go()
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                return await asked.looked
        except TimeoutError:
            return Looked(looked.question, Status.BYPASS)

    def keep(self, question: str, answer: Prediction) -> None:
        """Remember an answer soon, if Redis is there: questions from now on in this loop find it."""
        if not self.on or not self._outage.may_ask():
            return
        self._kept[question] = answer
        if self._trips is None and self._later is None:
            self._later = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._go)

    async def close(self) -> None:
        """Write what is to be kept, and let go of Redis."""
        if self._kept:
            self._go()
        if self._trips is not None:
            await self._trips
        if "_redis" in self.__dict__:
            await self._redis.aclose()

    def _go(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._trips is None:
            self._trips = asyncio.ensure_future(self._travel())

    async def _travel(self) -> None:
        try:
            while self._asked or self._kept:
                asked, self._asked = self._asked, []
                kept, self._kept = self._kept, {}
                await self._trip(asked, kept)
        finally:
            self._trips = None

    async def _trip(self, asked: list[_Asked], kept: dict[str, Prediction]) -> None:
        """One trip: first what is kept, so that what is asked finds it. Never raises; nobody is left waiting."""
        from redis.exceptions import RedisError

        raws: list[object] | None = None
        try:
            pipe = self._redis.pipeline(transaction=False)
            for question, answer in kept.items():
                entry = written(question, answer)
                if entry is not None:
                    pipe.set(self._place(question), entry, ex=self._seconds)
            if asked:  # of a place that holds something else than a string MGET says that it is empty
                pipe.mget([self._place(one.question) for one in asked])
            if len(pipe):
                results = await pipe.execute()
                raws = results[-1] if asked else []
                self._back()
        except (RedisError, OSError) as error:
            self._gone(error)
        finally:
            for number, one in enumerate(asked):
                if not one.looked.done():
                    one.looked.set_result(
                        Looked(one.question, Status.BYPASS)
                        if raws is None
                        else found(raws[number], one.question)
                    )
