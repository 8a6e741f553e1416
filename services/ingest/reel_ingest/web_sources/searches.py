"""Which searches a request means, and their candidates, each once; called by the tasks and the API."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from reel_ingest.web_sources.provider import Candidate, Capabilities, Query, SourceProvider
from reel_shared.contracts import CollectPicturesRequest
from reel_shared.contracts.web_pictures import SearchFound
from reel_shared.errors import Unprocessable

Digest = bytes
"""Of a candidate's address: what tells candidates apart."""


def digest(text: str) -> Digest:
    """Return the SHA-256 of an address."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()


def plan(request: CollectPicturesRequest) -> list[Query]:
    """Return one query for each style and each window of time, windows in order within a style."""
    styles = request.styles or [request.style]
    days = windows(request.since, request.until, request.windows)
    return [
        Query(request.query, style, request.candidates, since, until)
        for style in styles
        for since, until in days
    ]


def windows(since: date | None, until: date | None, count: int) -> list[tuple[date | None, date | None]]:
    """Cut the days from ``since`` up to ``until`` into ``count`` parts that touch and do not overlap."""
    if since is None or until is None:
        return [(since, until)]
    days = (until - since).days
    edges = [since + timedelta(days * part // count) for part in range(count + 1)]
    return list(pairwise(edges))


def check_dates(name: str, capabilities: Capabilities, request: CollectPicturesRequest) -> None:
    """Refuse dates that the provider cannot keep to. Raises ``Unprocessable``."""
    if request.since is None and request.until is None:
        return
    if capabilities.time_window == "none":
        raise Unprocessable(
            f"The provider {name!r} knows no dates; leave since and until away, or search wikimedia."
        )
    if capabilities.time_window == "preset":
        if request.until is not None or request.windows > 1:
            raise Unprocessable(
                f"The provider {name!r} can only look back from today; give since alone, without windows."
            )
        preset(request.since or date.min, datetime.now(UTC).date())
    if capabilities.time_window == "filter" and request.windows > 1:
        raise Unprocessable(
            f"The provider {name!r} cannot search by date, so windows would repeat its answers; leave them away."
        )


def preset(since: date, today: date) -> str:
    """Return the longest of d, w, m and y that does not reach back before ``since``. Raises ``Unprocessable``."""
    days = (today - since).days
    fitting = [name for name, length in (("y", 365), ("m", 31), ("w", 7), ("d", 1)) if length <= days]
    if not fitting:
        raise Unprocessable("The provider can look back a day at least; give an earlier since.")
    return fitting[0]


class Searches:
    """Runs queries one after the other; a candidate that two of them find is given once, for the first.

    Of what a person gave (addresses, a folder, a zip) the provider knows no limit: it is kept to here.
    """

    def __init__(self, provider: SourceProvider, queries: Sequence[Query]) -> None:
        self._provider = provider
        self._queries = queries
        self._met: set[Digest] = set()
        self.found: list[SearchFound] = []
        """Each query that has been run, or is running, and how many new candidates it gave so far."""
        self.over_limit = 0
        """Candidates that were there beyond the limit of their query, so far."""

    def candidates(self) -> Iterator[Candidate]:
        """Yield the candidates of all queries, with the style that each was found with."""
        for query in self._queries:
            found = SearchFound(
                words=query.words, style=query.style, since=query.since, until=query.until, candidates=0
            )
            self.found.append(found)
            for candidate in self._dated(query):
                if not self._is_new(candidate):
                    continue
                if found.candidates == query.limit:
                    self.over_limit += 1
                    continue
                found.candidates += 1
                yield replace(candidate, style=query.style)

    def _dated(self, query: Query) -> Iterable[Candidate]:
        candidates = self._provider.search(query)
        if self._provider.capabilities.time_window != "filter":
            return candidates
        return (candidate for candidate in candidates if _within(candidate.taken_at, query))

    def _is_new(self, candidate: Candidate) -> bool:
        names = {digest(candidate.url)}
        if candidate.provider_id:
            names.add(digest(f"{candidate.provider}\n{candidate.provider_id}"))
        known = bool(names & self._met)
        self._met |= names
        return not known


def _within(moment: datetime | None, query: Query) -> bool:
    """Whether a date is asked for; a picture without one cannot be said to be."""
    if query.since is None and query.until is None:
        return True
    if moment is None:
        return False
    day = moment.astimezone(UTC).date()
    return (query.since is None or query.since <= day) and (query.until is None or day < query.until)
