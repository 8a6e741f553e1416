"""Pictures that lie under an S3 prefix, a folder in the bucket; a SourceProvider."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from reel_ingest.web_sources.provider import Candidate, Capabilities, Query


class Folder:
    """Candidates are object keys; ``read`` gives an object's bytes and raises ``Refused`` for one too large."""

    name = "folder"
    capabilities = Capabilities(time_window="none", licence=False)

    def __init__(
        self, keys: Iterable[str], read: Callable[[str], bytes], *, licence: str = "", attribution: str = ""
    ) -> None:
        self._keys = keys
        self._read = read
        self._licence = licence
        self._attribution = attribution

    def count(self) -> None:
        """Only known at the end."""

    def search(self, query: Query) -> Iterator[Candidate]:
        for key in self._keys:
            title = key.rpartition("/")[2]
            yield Candidate(key, self.name, title=title, licence=self._licence, attribution=self._attribution)

    def fetch(self, candidate: Candidate) -> bytes:
        return self._read(candidate.url)
