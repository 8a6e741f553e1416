"""Owns the order of work in front of the engine: one bounded queue that idle lanes pull from, without timers.

Called by the API and by the prediction job. A lone picture starts at once on every core; under load the lanes
share what waits and batches grow by themselves.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from reel_inference import figures
from reel_shared import errors

if TYPE_CHECKING:
    from reel_inference.engine import Logits, Pictures

CROWDED_SECONDS = 0.1
"""How long after two pictures met the wide lane stays shut: its threads and a lane's would fight for cores."""


class Infers(Protocol):
    """What a lane needs of an engine."""

    @property
    def size(self) -> int: ...

    def infer(self, pictures: Pictures, lane: int | None = None) -> Logits: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    engine: Infers
    picture: Pictures
    deadline: float
    wanted_until: float
    answer: Future[Logits]
    since: float


class Batcher:
    """Lane threads over one queue. Each picture carries its engine, so a swap of models never mixes a batch."""

    def __init__(self, *, lanes: int, max_batch: int = 4, bound: int = 64) -> None:
        self._max_batch, self._bound, self._lanes = max_batch, bound, lanes
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._busy = 0
        self._closed = False
        self._crowded_until = 0.0
        self._seconds_per_picture = 0.05
        self._threads = [
            threading.Thread(target=self._serve, args=(lane,), name=f"lane-{lane}", daemon=True)
            for lane in range(lanes)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Pictures in the queue now."""
        return len(self._queue)

    def submit(
        self, engine: Infers, picture: Pictures, *, timeout: float = 10.0, wanted_until: float = math.inf
    ) -> Future[Logits]:
        """Queue one picture, uint8 (size, size, 3); the future gives its logits, float32 (classes,).

        Raises errors.TooManyRequests when the queue is full and errors.Unavailable after `close`. The future
        fails with errors.Unavailable when no lane took the picture within `timeout` seconds, and with
        errors.DeadlinePassed when none did by `wanted_until`, in seconds of time.monotonic.
        """
        return self.submit_all(engine, [picture], timeout=timeout, wanted_until=wanted_until)[0]

    def submit_all(
        self,
        engine: Infers,
        pictures: Sequence[Pictures],
        *,
        timeout: float = 10.0,
        wanted_until: float = math.inf,
    ) -> list[Future[Logits]]:
        """Queue pictures together, or none of them; else as `submit`."""
        for picture in pictures:
            if picture.shape != (engine.size, engine.size, 3) or picture.dtype != np.uint8:
                raise ValueError(
                    f"picture is {picture.dtype} {picture.shape}, the engine takes {engine.size} px uint8"
                )
        answers: list[Future[Logits]] = [Future() for _ in pictures]
        with self._changed:
            if self._closed:
                raise errors.Unavailable("This server is stopping; send the picture again.", retry_after=1)
            if len(self._queue) + len(pictures) > self._bound:
                seconds = max(1, math.ceil(len(self._queue) * self._seconds_per_picture))
                raise errors.TooManyRequests(
                    f"{len(self._queue)} pictures are waiting already; try again in {seconds} s.",
                    retry_after=seconds,
                )
            now = time.monotonic()
            if self._busy or self._queue or len(pictures) > 1:
                self._crowded_until = now + CROWDED_SECONDS
            for picture, answer in zip(pictures, answers, strict=True):
                self._queue.append(_Waiting(engine, picture, now + timeout, wanted_until, answer, now))
            self._changed.notify(len(pictures))
        return answers

    def close(self) -> None:
        """Answer what is queued, then stop the lanes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, lane: int) -> None:
        while batch := self._take():
            items, alone = batch
            started = time.monotonic()
            if items:
                _answer(items, None if alone else lane)
            with self._changed:
                self._busy -= 1
                if items:
                    pace = (time.monotonic() - started) / len(items) / (1 if alone else self._lanes)
                    self._seconds_per_picture += 0.1 * (pace - self._seconds_per_picture)

    def _take(self) -> tuple[list[_Waiting], bool] | None:
        """Wait for work and take a fair share of it; None when closed and empty.

        Alone means: nothing else runs, waits or came together with others just now, so the wide lane is free. It
        stays this lane's own until the answer is out, because no other lane can be alone meanwhile.
        """
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._changed.wait()
            share = math.ceil(len(self._queue) / (self._lanes - self._busy))
            items = [self._queue.popleft()]
            while self._queue and len(items) < min(share, self._max_batch):
                if self._queue[0].engine is not items[0].engine:
                    break
                items.append(self._queue.popleft())
            alone = self._busy == 0 and not self._queue and time.monotonic() >= self._crowded_until
            self._busy += 1
        return _still_wanted(items), alone


def _still_wanted(items: list[_Waiting]) -> list[_Waiting]:
    """Leave out pictures whose client is gone, and refuse those that waited past a deadline."""
    now, wanted = time.monotonic(), []
    for item in items:
        if not item.answer.set_running_or_notify_cancel():
            continue
        if item.wanted_until <= now:
            item.answer.set_exception(
                errors.DeadlinePassed(
                    "No lane was free before the picture's time had run out; allow it more."
                )
            )
        elif item.deadline < now:
            item.answer.set_exception(
                errors.Unavailable("The picture waited too long for a free lane; try again.", retry_after=1)
            )
        else:
            wanted.append(item)
    return wanted


def _answer(items: list[_Waiting], lane: int | None) -> None:
    try:
        logits = items[0].engine.infer(np.stack([item.picture for item in items]), lane)
    except Exception as error:  # the lane must outlive any fault; every waiting client hears of it
        for item in items:
            item.answer.set_exception(error)
        return
    for item, row in zip(items, logits, strict=True):
        item.answer.set_result(row)
    # Once everybody has the answer.
    now = time.monotonic()
    figures.BATCH.observe(len(items))
    for item in items:
        figures.WAITED.observe(now - item.since)
