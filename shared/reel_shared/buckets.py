"""How much each caller may ask of the whole deployment: token buckets in Redis, all of a request's in one round trip.

A bucket is one number, the time at which it is full again (the generic cell rate algorithm). While Redis is away
each process counts by itself. Called by ``web.quotas``, from threads.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import structlog

from reel_shared.quick_redis import Outage, connect
from reel_shared.settings import settings

log = structlog.get_logger(__name__)
PREFIX = "reel:quota:"
_CALLERS = 8192
"""Buckets that a process keeps by itself before those that are full again are forgotten."""
_MICRO = 1_000_000
_SLACK = 10
"""Microseconds that rounding may take from a bucket."""

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local afters, refused, wait = {}, 0, 0
for i = 1, #KEYS do
  local quota, window, cost = tonumber(ARGV[3 * i - 1]), ARGV[3 * i] * 1000000, tonumber(ARGV[3 * i + 1])
  local due = math.max(now, tonumber(redis.call('GET', KEYS[i]) or 0) or 0)
  afters[i] = math.max(now, due + cost * window / quota)
  local over = afters[i] - now - window
  if ARGV[1] == '0' and cost > 0 and over > 10 and over > wait then refused, wait = i, over end
end
local answer = {refused, math.ceil(wait / 1000)}
for i = 1, #KEYS do
  local quota, window, cost = tonumber(ARGV[3 * i - 1]), ARGV[3 * i] * 1000000, tonumber(ARGV[3 * i + 1])
  local after = afters[i]
  if refused > 0 then after = math.max(now, after - cost * window / quota) end
  if refused == 0 and cost ~= 0 then
    if after > now then
      redis.call('SET', KEYS[i], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
    else
      redis.call('DEL', KEYS[i])
    end
  end
  answer[2 * i + 1] = math.max(0, math.floor((window - (after - now) + 10) * quota / window))
  answer[2 * i + 2] = math.ceil((after - now) / 1000)
end
return answer
"""
"""Redis's own clock counts: replicas need not agree on the time. Either every bucket is taken from, or none."""


class Policy(NamedTuple):
    """A bucket's size: ``quota`` at once after a pause, and as many in each ``window`` of seconds."""

    name: str
    quota: int
    window: int


class Charge(NamedTuple):
    policy: Policy
    cost: int = 1
    """What is taken; below 0 it is given back."""


class Standing(NamedTuple):
    policy: Policy
    remaining: int
    reset_seconds: float
    """Until the bucket is full again."""


class Verdict(NamedTuple):
    """``refused``: the bucket that had too little; nothing was taken then, and ``wait_seconds`` make it enough."""

    refused: Policy | None
    wait_seconds: float
    standings: tuple[Standing, ...]


class Buckets:
    """Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._script: Any = None
        self._outage = Outage()
        self._alone = Alone()

    def take(self, caller: str, charges: Sequence[Charge], *, force: bool = False) -> Verdict:
        """Take from all buckets of a request, or from none; never raises.

        ``force`` takes although there is not enough: what was counted late, or is given back.
        """
        if self._outage.may_ask():
            from redis.exceptions import RedisError

            try:
                answer = self._ask(caller, charges, force=force)
            except (RedisError, OSError) as error:
                self._gone(error)
            else:
                self._back()
                return _verdict(charges, answer)
        return self.take_alone(caller, charges, force=force)

    def take_alone(self, caller: str, charges: Sequence[Charge], *, force: bool = False) -> Verdict:
        """Likewise by what this process alone has counted."""
        return self._alone.take(caller, charges, force=force)

    def _ask(self, caller: str, charges: Sequence[Charge], *, force: bool) -> list[int]:
        if self._script is None:
            self._script = connect(self._url).register_script(_TAKE)
        keys = [f"{PREFIX}{caller}:{charge.policy.name}" for charge in charges]
        figures = [figure for policy, cost in charges for figure in (policy.quota, policy.window, cost)]
        answer: list[int] = self._script(keys=keys, args=[int(force), *figures])
        return answer

    def _gone(self, error: Exception) -> None:
        reason = self._outage.met(error)
        if reason is not None:
            log.warning("quotas.redis_away", reason=reason, instead="each process counts by itself")

    def _back(self) -> None:
        if self._outage.over() is not None:
            log.info("quotas.redis_back")


class Alone:
    """The same buckets in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}

    def take(self, caller: str, charges: Sequence[Charge], *, force: bool = False) -> Verdict:
        now = time.monotonic() * _MICRO
        with self._lock:
            verdict, after = self._weigh(caller, charges, now, force=force)
            if verdict.refused is None:
                self._full_at.update(after)
            if len(self._full_at) > _CALLERS:
                self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        return verdict

    def _weigh(
        self, caller: str, charges: Sequence[Charge], now: float, *, force: bool
    ) -> tuple[Verdict, dict[str, float]]:
        refused: Policy | None = None
        wait, before, after = 0.0, {}, {}
        for policy, cost in charges:
            name, window = f"{caller}:{policy.name}", policy.window * _MICRO
            before[name] = max(now, self._full_at.get(name, 0.0))
            after[name] = max(now, before[name] + cost * window / policy.quota)
            over = after[name] - now - window
            if not force and cost > 0 and over > _SLACK and over > wait:
                refused, wait = policy, over
        standings = []
        for (policy, _), at in zip(charges, (before if refused else after).values(), strict=True):
            window = policy.window * _MICRO
            remaining = math.floor((window - (at - now) + _SLACK) * policy.quota / window)
            standings.append(Standing(policy, max(0, remaining), (at - now) / _MICRO))
        return Verdict(refused, wait / _MICRO, tuple(standings)), after


def _verdict(charges: Sequence[Charge], answer: Sequence[int]) -> Verdict:
    refused, wait, *rest = answer
    standings = tuple(
        Standing(charge.policy, rest[2 * number], rest[2 * number + 1] / 1000)
        for number, charge in enumerate(charges)
    )
    return Verdict(charges[refused - 1].policy if refused else None, wait / 1000, standings)


@cache
def buckets() -> Buckets:
    """Return this process's way to the buckets."""
    return Buckets(settings().redis.url.get_secret_value())


os.register_at_fork(after_in_child=buckets.cache_clear)
