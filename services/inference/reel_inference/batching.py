"""Owns the order of work in front of the engine: one bounded queue that idle lanes pull from, without timers.

Called by the API and by the prediction job. A lone picture starts at once on every core; under load the lanes
share what waits and batches grow by themselves. A lane decodes what it takes: as many threads compute as there are
cores, and what arrives while a picture is decoded joins its batch (four together cost a fifth less than four alone).
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

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


Prepare = Callable[[], "Sequence[Pictures]"]
"""Decodes one picture: its views, each uint8 (size, size, 3), as many as were announced."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    engine: Infers
    prepare: Prepare
    views: int
    deadline: float
    wanted_until: float
    answer: Future[Logits]
    since: float


class Batcher:
    """Lane threads over one queue. Each picture carries its engine, so a swap of models never mixes a batch."""

    def __init__(self, *, lanes: int, max_batch: int = 4, bound: int = 64) -> None:
        self._max_batch, self._bound, self._lanes = max_batch, bound, lanes
        self._queue: deque[_Waiting] = deque()
        self._views = 0
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
        """Pictures in the queue now, and their views."""
        return self._views

    def check_room(self, views: int = 1) -> None:
        """Raise errors.TooManyRequests while so many more would not find room in the queue."""
        if self._views + views > self._bound:
            seconds = max(1, math.ceil(self._views * self._seconds_per_picture))
            raise errors.TooManyRequests(
                f"{self._views} pictures are waiting already; try again in {seconds} s.",
                retry_after=seconds,
            )

    def submit(
        self,
        engine: Infers,
        prepare: Prepare,
        *,
        views: int = 1,
        timeout: float = 10.0,
        wanted_until: float = math.inf,
    ) -> Future[Logits]:
        """Queue one picture, which a lane will `prepare`; the future gives logits, float32 (views, classes).

        Raises errors.TooManyRequests when the queue is full and errors.Unavailable after `close`. The future
        fails with what `prepare` raised, with errors.Unavailable when no lane took the picture within `timeout`
        seconds, and with errors.DeadlinePassed when none did by `wanted_until`, in seconds of time.monotonic.
        """
        answer: Future[Logits] = Future()
        with self._changed:
            if self._closed:
                raise errors.Unavailable("This server is stopping; send the picture again.", retry_after=1)
            self.check_room(views)
            now = time.monotonic()
            if self._busy or self._queue:
                self._crowded_until = now + CROWDED_SECONDS
            self._queue.append(_Waiting(engine, prepare, views, now + timeout, wanted_until, answer, now))
            self._views += views
            self._changed.notify()
        return answer

    def close(self) -> None:
        """Answer what is queued, then stop the lanes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, lane: int) -> None:
        while share := self._take():
            started = time.monotonic()
            ready = [one for one in self._prepared(share) if _in_time(one)]
            rows = sum(len(one.pictures) for one in ready)
            alone = rows > 0 and self._is_alone()
            if ready:
                _answer(ready, None if alone else lane, self._max_batch)
            with self._changed:
                self._busy -= 1
                if rows:
                    pace = (time.monotonic() - started) / rows / (1 if alone else self._lanes)
                    self._seconds_per_picture += 0.1 * (pace - self._seconds_per_picture)

    def _take(self) -> list[_Waiting] | None:
        """Wait for work and take a fair share of it; None when closed and empty."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._changed.wait()
            share = math.ceil(len(self._queue) / (self._lanes - self._busy))
            first = self._pop()
            items, views = [first], first.views
            while len(items) < share and self._fits(first, views):
                items.append(self._pop())
                views += items[-1].views
            self._busy += 1
        return items

    def _pop(self) -> _Waiting:
        item = self._queue.popleft()
        self._views -= item.views
        return item

    def _fits(self, first: _Waiting, views: int) -> bool:
        """Whether the queue's head may join the batch that `first` began."""
        if not self._queue:
            return False
        head = self._queue[0]
        return head.engine is first.engine and views + head.views <= self._max_batch

    def _prepared(self, items: list[_Waiting]) -> list[_Ready]:
        """Decode a share, and what came meanwhile as long as no other lane is free to take it."""
        ready: list[_Ready] = []
        first, todo = items[0], deque(items)
        while todo:
            one = _prepare(todo.popleft())
            if one is not None:
                ready.append(one)
            if not todo:
                views = sum(len(one.pictures) for one in ready)
                with self._changed:
                    if self._busy == self._lanes and self._fits(first, views):
                        todo.append(self._pop())
        return ready

    def _is_alone(self) -> bool:
        """Whether nothing else runs, waits or came together with others just now, so that the wide lane is free.

        It stays this lane's own until the answer is out, because no other lane can be alone meanwhile.
        """
        with self._changed:
            return self._busy == 1 and not self._queue and time.monotonic() >= self._crowded_until


class _Ready(NamedTuple):
    item: _Waiting
    pictures: Sequence[Pictures]


def _prepare(item: _Waiting) -> _Ready | None:
    """Decode one picture; None where nobody wants it, or its client was told that it is bad or late."""
    if item.answer.cancelled():
        return None
    error: Exception | None = None
    pictures: Sequence[Pictures] = ()
    try:
        _check_time(item)
        pictures = item.prepare()
        _check(pictures, item)
    except Exception as found:  # the lane must outlive any fault, and its other pictures do not share it
        error = found
    if not item.answer.set_running_or_notify_cancel():
        return None
    if error is not None:
        item.answer.set_exception(error)
        return None
    return _Ready(item, pictures)


def _check_time(item: _Waiting) -> None:
    now = time.monotonic()
    if item.wanted_until <= now:
        raise errors.DeadlinePassed("No lane was free before the picture's time had run out; allow it more.")
    if item.deadline < now:
        raise errors.Unavailable("The picture waited too long for a free lane; try again.", retry_after=1)


def _in_time(one: _Ready) -> bool:
    """Refuse a picture whose time ran out while it and its batch were decoded."""
    if one.item.wanted_until > time.monotonic():
        return True
    one.item.answer.set_exception(
        errors.DeadlinePassed("The picture's time had run out before the model was asked; allow it more.")
    )
    return False


def _check(pictures: Sequence[Pictures], item: _Waiting) -> None:
    size = item.engine.size
    shapes = {(picture.shape, picture.dtype) for picture in pictures}
    if len(pictures) != item.views or shapes != {((size, size, 3), np.dtype(np.uint8))}:
        raise ValueError(f"the engine takes {item.views} of {size} px uint8, not {len(pictures)} of {shapes}")


def _answer(ready: list[_Ready], lane: int | None, max_batch: int) -> None:
    rows = [picture for one in ready for picture in one.pictures]
    # The wide lane is for one picture at a time: no other size of batch has run on it.
    step = 1 if lane is None else max_batch
    engine = ready[0].item.engine
    try:
        logits = np.concatenate(
            [engine.infer(np.stack(rows[start : start + step]), lane) for start in range(0, len(rows), step)]
        )
    except Exception as error:  # the lane must outlive any fault; every waiting client hears of it
        for one in ready:
            one.item.answer.set_exception(error)
        return
    start = 0
    for one in ready:
        one.item.answer.set_result(logits[start : start + one.item.views])
        start += one.item.views
    # Once everybody has the answer.
    now = time.monotonic()
    figures.BATCH.observe(len(rows))
    for one in ready:
        figures.WAITED.observe(now - one.item.since)
