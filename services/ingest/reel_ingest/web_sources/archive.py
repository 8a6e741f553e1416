"""Pictures out of a zip file that a stranger made; a SourceProvider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from reel_ingest.web_sources.provider import Candidate, Capabilities, Query
from reel_shared.connection import Refused
from reel_shared.errors import BadMember
from reel_shared.zips import Zip


class Archive:
    """Members of one zip file; ``members`` and ``total_bytes`` bound how many and how much comes out of it."""

    name = "zip"
    capabilities = Capabilities(time_window="none", licence=False)

    def __init__(
        self,
        path: Path,
        *,
        picture_bytes: int,
        members: int = 20_000,
        total_bytes: int = 4 * 2**30,
        licence: str = "",
        attribution: str = "",
    ) -> None:
        """Open the file. Raises ``BadRequest`` or ``TooLarge`` when it is no zip or has too many members."""
        self._zip = Zip(path, members=members, total_bytes=total_bytes)
        self._picture_bytes = picture_bytes
        self._licence = licence
        self._attribution = attribution

    def count(self) -> int:
        return sum(1 for _ in self._zip.members())

    def search(self, query: Query) -> Iterator[Candidate]:
        for member in self._zip.members():
            title = PurePosixPath(member).name
            yield Candidate(
                member, self.name, title=title, licence=self._licence, attribution=self._attribution
            )

    def fetch(self, candidate: Candidate) -> bytes:
        """Read one member. Raises ``Refused``: ``unsafe-path``, ``link``, ``encrypted``, ``too-many-bytes``,
        ``bomb`` or ``damaged``."""
        try:
            return self._zip.read(candidate.url, max_bytes=self._picture_bytes)
        except BadMember as refused:
            raise Refused(refused.extra["reason"], refused.detail) from refused

    def names(self) -> list[str]:
        """Return every file once, in the archive's order."""
        return self._zip.names()

    def lines(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """Yield a text file's lines; as ``Zip.lines``."""
        return self._zip.lines(name, max_bytes=max_bytes)

    def close(self) -> None:
        self._zip.close()
