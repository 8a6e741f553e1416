"""Manners towards other people's servers: pace, robots.txt, and the wish to stay out of training; used by fetch."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from protego import Protego

_HOSTS = 1000
_RULES_SECONDS = 24 * 3600.0
"""RFC 9309: a copy of robots.txt should not be used for longer."""
_TROUBLE_SECONDS = 300.0
"""A site whose robots.txt could not be read is left alone for so long."""
_UNWANTED = {"noai", "noimageai"}
_WITH_VALUE = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
_AGENT = re.compile(r"\*|[a-z][a-z0-9_.-]*")
"""No date: one behind a comma, as in ``unavailable_after: Tue, 25 Jun 2030 15:00:00 GMT``, has colons too."""


class Turns(Protocol):
    """Who may ask a host when; safe to share between threads."""

    def take(self, host: str, gap: float) -> float:
        """Take the next turn, ``gap`` seconds behind the last one; returns in how many seconds it comes."""
        ...

    def hold(self, host: str, seconds: float) -> None:
        """Give no turn at the host for so long."""
        ...


class OwnTurns:
    """The turns of this process alone."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, host: str, gap: float) -> float:
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next.get(host, now))
            self._keep(host, turn + gap, now)
        return turn - now

    def hold(self, host: str, seconds: float) -> None:
        with self._lock:
            now = time.monotonic()
            self._keep(host, max(self._next.get(host, now), now + seconds), now)

    def _keep(self, host: str, turn: float, now: float) -> None:
        self._next[host] = turn
        if len(self._next) > _HOSTS:  # a turn that has come holds nobody up any more
            self._next = {name: then for name, then in self._next.items() if then > now}


class Pace:
    """Spaces requests to each host evenly, among all that share its turns; safe to share between threads."""

    def __init__(
        self,
        per_second: float,
        *,
        turns: Turns | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap = 1.0 / per_second if per_second > 0 else 0.0
        self._turns = turns or OwnTurns()
        self._sleep = sleep

    def wait(self, host: str) -> None:
        """Wait until it is this caller's turn at the host."""
        seconds = self._turns.take(host, self._gap)
        if seconds > 0:
            self._sleep(seconds)

    def hold(self, host: str, seconds: float) -> None:
        """Let nobody ask the host for so long: it said when it wants to be asked again."""
        self._turns.hold(host, seconds)


class Robots:
    """robots.txt of the hosts met lately. ``read`` gives a site's text, None when it may not be visited now."""

    def __init__(
        self,
        user_agent: str,
        read: Callable[[str], str | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agent = user_agent
        self._read = read
        self._clock = clock
        self._rules: OrderedDict[str, tuple[float, Protego | None]] = OrderedDict()
        self._lock = threading.Lock()

    def allow(self, site: str, url: str) -> bool | None:
        """Whether ``url`` may be fetched, None when the site is in trouble and cannot say.

        ``site`` is its scheme, host and port. Raises what ``read`` raises.
        """
        with self._lock:
            until, rules = self._rules.get(site, (0.0, None))
        if self._clock() >= until:
            text = self._read(site)
            rules = None if text is None else Protego.parse(text)
            until = self._clock() + (_TROUBLE_SECONDS if rules is None else _RULES_SECONDS)
            with self._lock:
                self._rules[site] = (until, rules)
                while len(self._rules) > _HOSTS:
                    self._rules.popitem(last=False)
        return None if rules is None else bool(rules.can_fetch(url, self._agent))


def refuses_training(header_values: Iterable[str], user_agent: str) -> bool:
    """Whether ``X-Robots-Tag`` headers say noai or noimageai to everyone or to this agent.

    A name in a value (``otherbot: noindex, noai, reelsight: noai``) says to whom the words behind it speak, up to
    the next name; each header begins with everyone.
    """
    us = {user_agent.partition("/")[0].strip().lower(), "*"}
    for value in header_values:
        to_us = True
        for part in value.lower().split(","):
            head, colon, rest = (word.strip() for word in part.partition(":"))
            named = bool(colon) and head not in _WITH_VALUE and _AGENT.fullmatch(head) is not None
            if named:
                to_us = head in us
            if to_us and (rest if named else part.strip()) in _UNWANTED:
                return True
    return False
