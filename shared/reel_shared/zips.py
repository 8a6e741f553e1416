"""A zip file that a stranger made, read with care; called by ingest and inference. Nothing is ever unpacked to disk."""

from __future__ import annotations

import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from reel_shared.errors import BadMember, BadRequest, TooLarge
from reel_shared.zip_directory import check_directory

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


class Zip:
    """Members of one zip file; several threads may read them, one after the other."""

    def __init__(self, path: Path, *, members: int, total_bytes: int) -> None:
        """Open the file; ``members`` and ``total_bytes`` bound how many and how much comes out of it.

        Raises:
            BadRequest: it is no zip, or a damaged one.
            TooLarge: it has too many members.
        """
        try:
            with path.open("rb") as file:
                check_directory(file, members=members)
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise BadRequest("The file is not a zip archive, or a damaged one.") from error
        self._left = total_bytes
        self._lock = threading.Lock()

    def members(self) -> Iterator[str]:
        """Yield the paths of files in the archive's order, a name that stands twice twice; no folders, no litter."""
        for member in self._zip.infolist():
            if not member.is_dir() and not any(word in member.filename for word in _LITTER):
                yield member.filename

    @property
    def unpacked_bytes(self) -> int:
        """What its table of contents says that all members unpack to; ``zipfile`` never reads more of one."""
        return sum(member.file_size for member in self._zip.infolist())

    def names(self) -> list[str]:
        """Return every file once, in the archive's order."""
        return list(dict.fromkeys(self.members()))

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Read one member.

        Raises:
            BadMember: with ``extra["reason"]``: ``unsafe-path``, ``link``, ``encrypted``, ``too-many-bytes``,
                ``bomb`` or ``damaged``.
            TooLarge: more has been read than may come out of the whole archive.
        """
        member = self._zip.getinfo(name)
        _check(member, max_bytes)
        try:
            with self._lock, self._zip.open(member) as file:
                data = file.read(max_bytes + 1)
                self._left -= len(data)
        except _DAMAGED as error:
            raise _refusal("damaged", f"{_short(name)} cannot be read out of the archive.") from error
        if len(data) > max_bytes:
            raise _refusal("too-many-bytes", f"{_short(name)} is larger than {max_bytes} bytes.")
        if self._left < 0:
            raise TooLarge("The archive unpacks to more bytes than are allowed; split it.")
        return data

    def lines(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """Yield a text file's lines with their ends; one longer than a megabyte comes in parts of that length.

        Raises:
            BadRequest: the file has more than ``max_bytes``, is damaged, encrypted, a link or made to hurt.
        """
        member = self._zip.getinfo(name)
        size = 0
        try:
            _check(member, max_bytes)
            with self._zip.open(member) as file:
                while line := file.readline(_LINE_BYTES + 1):
                    size += len(line)
                    if size > max_bytes:
                        raise BadRequest(f"The table {name!r} is larger than {max_bytes} bytes.")
                    yield line
        except BadMember as refused:
            raise BadRequest(f"The table {name!r} cannot be read: {refused.detail}") from refused
        except _DAMAGED as error:
            raise BadRequest(f"The table {name!r} cannot be read out of the archive.") from error

    def close(self) -> None:
        self._zip.close()


def _check(member: zipfile.ZipInfo, max_bytes: int) -> None:
    name = _short(member.filename)
    if not is_safe(member.filename):
        raise _refusal("unsafe-path", f"The archive names a file outside itself: {name}.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise _refusal("link", f"{name} is a link, not a picture.")
    if member.flag_bits & 1:
        raise _refusal("encrypted", f"{name} is encrypted.")
    if member.file_size > max_bytes:
        raise _refusal("too-many-bytes", f"{name} is larger than {max_bytes} bytes.")
    if member.file_size > _RATIO_FROM and member.file_size > MAX_RATIO * max(1, member.compress_size):
        raise _refusal("bomb", f"{name} unpacks to more than {MAX_RATIO} times its size.")


def _short(name: str) -> str:
    return repr(name[:100])


def _refusal(reason: str, detail: str) -> BadMember:
    return BadMember(detail, reason=reason)
