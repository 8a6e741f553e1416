"""Doing a few things at once and getting the results in order; called by pictures and tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

from reel_shared.threads import Pool

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def in_order(
    items: Iterable[ItemT], work: Callable[[ItemT], ResultT], *, lanes: int
) -> Generator[tuple[ItemT, ResultT], None, None]:
    """Yield every item with ``work(item)``, in the items' order, running ``lanes`` of them in threads.

    At most ``2 * lanes`` items are drawn ahead. The first error is raised in its turn. When the iterator is
    closed, what has not begun is dropped and what runs is not waited for.
    """
    pool = Pool(lanes, thread_name_prefix="lookahead")
    ahead: deque[tuple[ItemT, Future[ResultT]]] = deque()
    source = iter(items)
    try:
        while True:
            for item in islice(source, 2 * lanes - len(ahead)):
                ahead.append((item, pool.submit(work, item)))
            if not ahead:
                return
            item, future = ahead.popleft()
            yield item, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
