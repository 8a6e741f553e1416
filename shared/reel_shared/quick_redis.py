"""Redis for what must not hold a request up: asked with little patience, and for a while not at all once it is away.

Called by ``buckets`` from threads, and by inference's memory of answers from threads and from its event loop.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as LoopRedis

PATIENCE_SECONDS = 0.1
"""How long a request waits for Redis."""
AWAY_SECONDS = 5.0
"""How long Redis is not asked after it did not answer; then by one request only."""


class Outage:
    """Whether Redis is there, as far as is known; of those who ask after a while one finds out for all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0
        self._unasked = 0

    def __bool__(self) -> bool:
        return bool(self._until)

    def may_ask(self) -> bool:
        if not self._until:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._until:
                self._unasked += 1
                return False
            self._until = now + AWAY_SECONDS
            return True

    def met(self, error: Exception) -> str | None:
        """Note that Redis did not answer; return the reason, for the log, when that is news."""
        with self._lock:
            before, self._until = self._until, time.monotonic() + AWAY_SECONDS
            self._unasked += 1
        return None if before else f"{type(error).__name__}: {str(error)[:200]}"

    def over(self) -> int | None:
        """Note that Redis answered; return how often it was not asked meanwhile, when it had been away."""
        if not self._until:
            return None
        with self._lock:
            missed, self._until, self._unasked = self._unasked, 0.0, 0
        return missed


def connect(url: str) -> Redis:
    # a tenth of a second of CPU to import, that starting to serve need not wait for
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # once more, for the first to ask after a restart of Redis meets a connection that is dead
    return Redis.from_url(
        url,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def connect_in_loop(url: str) -> LoopRedis:
    """Likewise for an event loop; one connection, for one trip at a time."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Redis.from_url(
        url,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )
