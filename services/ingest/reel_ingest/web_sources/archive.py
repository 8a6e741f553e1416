"""Pictures out of a zip file that a stranger made; a SourceProvider. Nothing is ever unpacked to disk."""

from __future__ import annotations

import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from reel_ingest.connection import Refused
from reel_ingest.web_sources.provider import Candidate, Capabilities, Query
from reel_ingest.web_sources.zip_directory import check_directory
from reel_shared import errors

MAX_RATIO = 200
"""Pictures hardly shrink in a zip; a member that grows this much is made to hurt."""
_RATIO_FROM = 2**20
_LINE_BYTES = 2**20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)
"""What ``zipfile`` raises of a member that cannot be unpacked."""
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


def is_safe(name: str) -> bool:
    """Whether a path stays inside whatever it is looked up in."""
    outside = name.startswith(("/", "\\")) or "\\" in name or name[1:2] == ":"
    return not outside and ".." not in PurePosixPath(name).parts


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
        try:
            with path.open("rb") as file:
                check_directory(file, members=members)
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise errors.BadRequest("The file is not a zip archive, or a damaged one.") from error
        self._picture_bytes = picture_bytes
        self._left = total_bytes
        self._lock = threading.Lock()
        self._licence = licence
        self._attribution = attribution

    def count(self) -> int:
        return sum(1 for _ in self._pictures())

    def search(self, query: Query) -> Iterator[Candidate]:
        for member in self._pictures():
            title = PurePosixPath(member).name
            yield Candidate(
                member, self.name, title=title, licence=self._licence, attribution=self._attribution
            )

    def fetch(self, candidate: Candidate) -> bytes:
        """Read one member. Raises ``Refused``: ``unsafe-path``, ``link``, ``encrypted``, ``too-many-bytes``,
        ``bomb`` or ``damaged``."""
        member = self._zip.getinfo(candidate.url)
        self._check(member, self._picture_bytes)
        try:
            with self._lock, self._zip.open(member) as file:
                data = file.read(self._picture_bytes + 1)
                self._left -= len(data)
        except _DAMAGED as error:
            raise Refused("damaged", f"{candidate.title!r} cannot be read out of the archive.") from error
        if len(data) > self._picture_bytes:
            raise Refused(
                "too-many-bytes", f"{candidate.title!r} is larger than {self._picture_bytes} bytes."
            )
        if self._left < 0:
            raise errors.TooLarge("The archive unpacks to more bytes than are allowed; split it.")
        return data

    def names(self) -> list[str]:
        """Return every file once, in the archive's order."""
        return list(dict.fromkeys(self._pictures()))

    def lines(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """Yield a text file's lines with their ends; one longer than a megabyte comes in parts of that length.

        Raises:
            BadRequest: the file has more than ``max_bytes``, is damaged, encrypted, a link or made to hurt.
        """
        member = self._zip.getinfo(name)
        size = 0
        try:
            self._check(member, max_bytes)
            with self._zip.open(member) as file:
                while line := file.readline(_LINE_BYTES + 1):
                    size += len(line)
                    if size > max_bytes:
                        raise errors.BadRequest(f"The table {name!r} is larger than {max_bytes} bytes.")
                    yield line
        except Refused as refused:
            raise errors.BadRequest(f"The table {name!r} cannot be read: {refused.detail}") from refused
        except _DAMAGED as error:
            raise errors.BadRequest(f"The table {name!r} cannot be read out of the archive.") from error

    def close(self) -> None:
        self._zip.close()

    def _pictures(self) -> Iterator[str]:
        for member in self._zip.infolist():
            if not member.is_dir() and not any(word in member.filename for word in _LITTER):
                yield member.filename

    def _check(self, member: zipfile.ZipInfo, max_bytes: int) -> None:
        name = member.filename
        if not is_safe(name):
            raise Refused("unsafe-path", f"The archive names a file outside itself: {name[:100]!r}.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise Refused("link", f"{name[:100]!r} is a link, not a picture.")
        if member.flag_bits & 1:
            raise Refused("encrypted", f"{name[:100]!r} is encrypted.")
        if member.file_size > max_bytes:
            raise Refused("too-many-bytes", f"{name[:100]!r} is larger than {max_bytes} bytes.")
        if member.file_size > _RATIO_FROM and member.file_size > MAX_RATIO * max(1, member.compress_size):
            raise Refused("bomb", f"{name[:100]!r} unpacks to more than {MAX_RATIO} times its size.")
