"""Turns at hosts that all workers share through Redis, so that more workers ask nobody faster; used by sources."""

from __future__ import annotations

import time

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from reel_ingest.politeness import OwnTurns

PREFIX = "reel:turn:"
_SECONDS = 1.0
"""How long a fetch waits for Redis."""
_AWAY_SECONDS = 5.0
"""How long Redis is not asked after it did not answer."""

# Redis's clock counts, for those of the workers differ. Lua would write microseconds with 14 digits only.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '') or 0)
local after = math.max(turn + ARGV[1], now + ARGV[2])
if after > now then
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
end
return turn - now
"""


class SharedTurns:
    """One key a host: when its next turn comes. While Redis is away the turns are this process's own."""

    def __init__(self, url: str) -> None:
        redis = Redis.from_url(
            url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, retry=Retry(NoBackoff(), 1)
        )
        self._script = redis.register_script(_SCRIPT)
        self._own = OwnTurns()
        self._away_until = 0.0
        self._log = structlog.get_logger(__name__)

    def take(self, host: str, gap: float) -> float:
        seconds = self._run(host, gap, 0.0)
        return self._own.take(host, gap) if seconds is None else seconds

    def hold(self, host: str, seconds: float) -> None:
        self._own.hold(host, seconds)  # should Redis go away meanwhile
        self._run(host, 0.0, seconds)

    def _run(self, host: str, gap: float, hold: float) -> float | None:
        """Return in how many seconds the turn comes, or None when Redis is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            found = self._script(keys=[PREFIX + host], args=[round(gap * 1e6), round(hold * 1e6)])
        except (RedisError, OSError) as error:
            if not self._away_until:
                self._log.warning("pace.alone", reason=f"{type(error).__name__}: {str(error)[:200]}")
            self._away_until = time.monotonic() + _AWAY_SECONDS
            return None
        if self._away_until:
            self._log.info("pace.shared")
            self._away_until = 0.0
        return int(found) / 1e6
