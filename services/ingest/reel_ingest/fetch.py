"""Fetching from addresses that strangers name: public hosts, bounded bytes and time; called by web_sources."""

from __future__ import annotations

import ssl
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import stamina

from reel_ingest.politeness import Pace, Robots, Turns, refuses_training
from reel_shared.addresses import Resolver, resolve
from reel_shared.connection import Refused
from reel_shared.outgoing import Answer, Guard

__all__ = ["Fetched", "Fetcher", "Refused"]

MAX_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_AGAIN = {429, 500, 502, 503, 504}
_LONGEST_WAIT = 60.0
_ROBOTS_BYTES = 500 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer with status 200. ``media_type`` is what the server claims; believe only the bytes."""

    url: str
    media_type: str
    body: bytes
    retry_after: float | None = None
    """Seconds: an API may ask for patience in an answer that is no error."""


class Fetcher:
    """A polite and careful HTTP client; safe to share between threads.

    ``allowed_hosts`` are ``host:port`` that may be fetched although they are private or on an odd port.
    ``seconds`` bounds one try, redirects included, from asking to the last byte. Proxies and other wishes of the
    environment are not followed. ``turns`` may be shared with other clients, so that ``per_host_per_second`` holds
    for all of them together. ``tls`` says which certificates are trusted; the usual public ones unless given.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        allowed_hosts: Collection[str] = (),
        seconds: float = 30.0,
        per_host_per_second: float = 5.0,
        turns: Turns | None = None,
        attempts: int = 3,
        first_wait: float = 0.5,
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._user_agent = user_agent
        self._seconds = seconds
        self._attempts = attempts
        self._first_wait = first_wait
        self._guard = Guard(allowed_hosts=allowed_hosts, resolver=resolver, tls=tls)
        self._pace = Pace(per_host_per_second, turns=turns)
        self._robots = Robots(user_agent, self._read_robots)

    def get(
        self, url: str, *, max_bytes: int, crawl: bool = True, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """Fetch one address. ``crawl=False`` is for APIs made to be called, where robots.txt has no say.

        Raises ``Refused`` with one of: ``bad-url``, ``scheme``, ``credentials``, ``port``, ``private-address``,
        ``unresolvable``, ``unreachable``, ``tls``, ``timeout``, ``redirects``, ``robots``, ``robots-unreadable``,
        ``noai``, ``too-many-bytes``, ``encoded``, ``empty`` or ``http-<status>``. What a moment may cure (busy
        servers, lost connections) is tried again with growing waits; a timeout is not, it has cost enough.
        """
        for attempt in stamina.retry_context(
            on=_wait_for,
            attempts=self._attempts,
            timeout=None,
            wait_initial=self._first_wait,
            wait_jitter=self._first_wait,
        ):
            with attempt:
                return self._follow(url, max_bytes, crawl, headers or {})
        raise AssertionError("stamina gives at least one attempt")

    def _follow(self, url: str, max_bytes: int, crawl: bool, headers: Mapping[str, str]) -> Fetched:
        budget = self._seconds
        target = self._guard.checked(url)
        for _hop in range(MAX_REDIRECTS + 1):
            if crawl:
                self._ask_robots(target)
            self._pace.wait(target.host)
            asked = time.monotonic()
            sent = {"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
            answer = self._guard.ask(target, deadline=asked + budget, headers=sent, max_bytes=max_bytes)
            budget -= time.monotonic() - asked
            if answer.status not in _REDIRECTS:
                return self._accepted(target, answer, crawl)
            onward = self._guard.checked(_join(target, answer.headers.get("location", "")))
            if _site(onward) != _site(target):
                headers = {}  # a token for one site is not for another
            target = onward
        raise Refused("redirects", f"The address leads on more than {MAX_REDIRECTS} times.")

    def _ask_robots(self, target: httpx.URL) -> None:
        allowed = self._robots.allow(_site(target), str(target))
        if allowed is None:
            raise Refused(
                "robots-unreadable",
                f"The server of {target} cannot show its robots.txt now, so nothing is fetched.",
                transient=True,
            )
        if not allowed:
            raise Refused("robots", f"The site's robots.txt does not allow {target}.")

    def _accepted(self, target: httpx.URL, answer: Answer, crawl: bool) -> Fetched:
        after = _seconds(answer.headers.get("retry-after", ""))
        if answer.status != 200:
            again = answer.status in _AGAIN
            if again and after is not None:
                self._pace.hold(target.host, min(after, _LONGEST_WAIT))
            raise Refused(
                f"http-{answer.status}",
                f"The server answered {answer.status}.",
                again=again,
                after=after,
                transient=again or answer.status >= 500,
            )
        if crawl and refuses_training(answer.headers.get_list("x-robots-tag"), self._user_agent):
            raise Refused("noai", "The picture's owner does not want it used for training.")
        if answer.headers.get("content-encoding", "identity").lower() not in {"", "identity"}:
            raise Refused("encoded", "The server sent compressed bytes although asked not to.")
        if not answer.body:
            raise Refused("empty", "The server answered with nothing.")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Fetched(str(target), media_type, answer.body, after)

    def _read_robots(self, site: str) -> str | None:
        try:
            fetched = self._follow(f"{site}/robots.txt", _ROBOTS_BYTES, False, {})
        except Refused as refused:
            # RFC 9309: without rules everything is allowed; with a server in trouble nothing is.
            if refused.reason.startswith("http-5") or refused.reason == "http-429":
                return None
            if refused.reason.startswith("http-4") or refused.reason in {"empty", "redirects"}:
                return ""
            raise
        return fetched.body.decode("utf-8", errors="replace")


def _wait_for(error: Exception) -> bool | float:
    """Tell stamina whether to try again, and when the server said when."""
    if not isinstance(error, Refused) or not error.again:
        return False
    if error.after is None:
        return True
    return error.after if error.after <= _LONGEST_WAIT else False


def _seconds(retry_after: str) -> float | None:
    """Read a Retry-After header, which is a number of seconds or a date."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (zoned - datetime.now(UTC)).total_seconds())


def _site(target: httpx.URL) -> str:
    return f"{target.scheme}://{target.netloc.decode('ascii')}"


def _join(target: httpx.URL, location: str) -> str:
    if not location:
        raise Refused("redirects", "The server redirects to nowhere.")
    try:
        return str(target.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise Refused("bad-url", f"The server redirects to a false address: {location[:200]!r}.") from error
