"""Pictures that a search engine knows, through the client library ddgs; a SourceProvider, off unless switched on.

The library behaves like a browser, which the engine may not like, and nothing that it finds comes with a licence.
It talks to the engine alone; the pictures are fetched by our own fetcher under its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import structlog

from reel_ingest.fetch import Fetcher
from reel_ingest.web_sources.provider import Candidate, Capabilities, Query
from reel_ingest.web_sources.searches import preset
from reel_shared import errors

ENGINE = "duckduckgo"
MAX_PAGES = 5
_NOTHING = "No results found"

Search = Callable[..., list[dict[str, Any]]]
"""As ``ddgs.DDGS.images``: words, ``page``, ``timelimit`` and more in, one dictionary a picture out."""

log = structlog.get_logger(__name__)


class SearchEngine:
    """Candidates of one engine, by the page; an engine that turns a robot away looks as if it had nothing."""

    name = "ddgs"
    capabilities = Capabilities(time_window="preset", licence=False, page_limit=MAX_PAGES * 100)

    def __init__(
        self, fetcher: Fetcher, *, picture_bytes: int, seconds: float = 30.0, search: Search | None = None
    ) -> None:
        self._fetcher = fetcher
        self._picture_bytes = picture_bytes
        self._search = search or _engine(seconds)

    def count(self) -> None:
        """Only known at the end."""

    def search(self, query: Query) -> Iterator[Candidate]:
        given = 0
        for page in range(1, MAX_PAGES + 1):
            results = self._page(query, page)
            for result in results:
                if given == query.limit:
                    return
                if result.get("image"):
                    given += 1
                    yield candidate_of(result)
            if not results:
                return

    def fetch(self, candidate: Candidate) -> bytes:
        return self._fetcher.get(candidate.url, max_bytes=self._picture_bytes).body

    def _page(self, query: Query, page: int) -> list[dict[str, Any]]:
        from ddgs.exceptions import DDGSException

        span = preset(query.since, datetime.now(UTC).date()) if query.since else None
        try:
            return self._search(
                query.words, backend=ENGINE, safesearch="on", timelimit=span, max_results=None, page=page
            )
        except DDGSException as error:
            if _NOTHING in str(error):
                log.warning("search.nothing", engine=ENGINE, words=query.words, page=page)
                return []
            raise errors.Unavailable(
                "The search engine does not answer, or turns robots away for a while; try again later."
            ) from error


def _engine(seconds: float) -> Search:
    from ddgs.ddgs import DDGS

    return DDGS(timeout=round(seconds)).images


def candidate_of(result: dict[str, Any]) -> Candidate:
    """Read one result; sizes may come as text."""

    def side(field: str) -> int | None:
        text = str(result.get(field) or "")
        return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None

    return Candidate(
        url=str(result["image"]),
        provider=SearchEngine.name,
        title=str(result.get("title") or ""),
        page_url=str(result.get("url") or ""),
        width=side("width"),
        height=side("height"),
    )
