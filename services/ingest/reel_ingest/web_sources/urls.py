"""Pictures from a plain list of addresses; a SourceProvider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reel_ingest.fetch import Fetcher
from reel_ingest.web_sources.provider import Candidate, Capabilities, Query


class Urls:
    """Candidates are the addresses in their order; a licence and attribution hold for all of them."""

    name = "urls"
    capabilities = Capabilities(time_window="none", licence=False)

    def __init__(
        self,
        urls: Sequence[str],
        fetcher: Fetcher,
        *,
        picture_bytes: int,
        licence: str = "",
        attribution: str = "",
    ) -> None:
        self._urls = urls
        self._fetcher = fetcher
        self._picture_bytes = picture_bytes
        self._licence = licence
        self._attribution = attribution

    def count(self) -> int:
        return len(self._urls)

    def search(self, query: Query) -> Iterator[Candidate]:
        for url in self._urls:
            yield Candidate(url, self.name, licence=self._licence, attribution=self._attribution)

    def fetch(self, candidate: Candidate) -> bytes:
        return self._fetcher.get(candidate.url, max_bytes=self._picture_bytes).body
