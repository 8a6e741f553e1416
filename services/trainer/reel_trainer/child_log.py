"""Reads what a child process writes on standard error while it writes it; called by ``child``."""

from __future__ import annotations

import re
from pathlib import Path

LONGEST_LINE = 300
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
"""What colours text on a terminal."""
_READ_AT_ONCE = 2**20


class ChildLog:
    """The lines of a growing file, each given once, as a person can read them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        self._rest = b""

    def news(self, *, last: bool = False) -> list[str]:
        """Return the lines that came since; with ``last`` also one that has no end yet.

        Of more than a mebibyte the oldest part is passed over: nobody reads that much.
        """
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            if size - self._at > _READ_AT_ONCE:
                self._at, self._rest = size - _READ_AT_ONCE, b""
            file.seek(self._at)
            data = self._rest + file.read(_READ_AT_ONCE)
            self._at = file.tell()
        whole, _, self._rest = data.rpartition(b"\n")
        if last:
            whole, self._rest = data, b""
        return list(filter(None, map(_readable, whole.split(b"\n"))))

    def tail(self, size: int = 2000) -> str:
        """Return the end of the file as it is, for the worker's own log."""
        return self.path.read_bytes()[-size:].decode(errors="replace")


def _readable(line: bytes) -> str:
    """A line without colours; of one that was written over and over, such as a progress bar, what stood there last."""
    shown = line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
    plain = "".join(each for each in _ESCAPES.sub("", shown).replace("\t", "    ") if each.isprintable())
    return plain.rstrip() if len(plain) <= LONGEST_LINE else f"{plain[:LONGEST_LINE]} …"
