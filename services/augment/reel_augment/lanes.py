"""Work on pictures in as many threads as there are cores, with a bound on the pixels in work; called by ``tasks``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from reel_shared.cores import usable_cores
from reel_shared.threads import Pool

Item = TypeVar("Item")
Made = TypeVar("Made")

PIXELS = 80_000_000
"""In work at a time, all lanes together: some 12 bytes each, so 1 GB. One larger picture works alone."""
_AHEAD = 4


def in_lanes(
    items: Iterable[Item],
    work: Callable[[Item], Made],
    *,
    pixels: Callable[[Item], int],
    lanes: int | None = None,
) -> Iterator[Made]:
    """Yield ``work(item)`` in order; threads run at most a few items ahead. What ``work`` raises ends it."""
    lanes = lanes or usable_cores()
    room = _Room(PIXELS)

    def one(item: Item) -> Made:
        with room.held(pixels(item)):
            return work(item)

    waiting: deque[Future[Made]] = deque()
    with Pool(lanes, thread_name_prefix="variants") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(one, item))
                if len(waiting) >= _AHEAD * lanes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Room:
    """So many pixels, shared by threads."""

    def __init__(self, pixels: int) -> None:
        self._all = self._free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def held(self, pixels: int) -> Iterator[None]:
        wanted = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()
