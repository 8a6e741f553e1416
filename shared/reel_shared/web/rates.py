"""How often each caller may ask: a rate with a burst, kept in this process; used by inference.

A replica by itself knows who asked it how often, without a look anywhere: what is limited here is answered in
milliseconds. So several replicas together allow several times the rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from reel_shared.errors import TooManyRequests

_CALLERS = 4096
"""Remembered at most before those who may ask in full again are forgotten."""


class Rates:
    """The generic cell rate algorithm: one number a caller. For one event loop; nothing in it waits."""

    def __init__(self, per_second: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``per_second`` 0 limits nothing; ``burst`` requests may come at once after a pause."""
        self._per_second, self._clock = per_second, clock
        self._gap = 1 / per_second if per_second else 0.0
        self._credit = self._gap * (burst - 1)
        self._due: dict[str, float] = {}

    def take(self, caller: str) -> None:
        """Count a request. Raises TooManyRequests, which is not counted, with the seconds to wait."""
        if not self._gap:
            return
        now = self._clock()
        due = max(now, self._due.get(caller, 0.0))
        wait = due - self._credit - now
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooManyRequests(
                f"This caller may ask {self._per_second:g} times a second; try again in {seconds} s.",
                retry_after=seconds,
            )
        if len(self._due) >= _CALLERS and caller not in self._due:
            self._due = {name: at for name, at in self._due.items() if at > now}
        self._due[caller] = due + self._gap
