"""How much a zip file's table of contents holds, found out without reading it whole; called by ``zips``.

``zipfile`` makes an object of every entry before anybody can count them, and goes by the table's size alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from reel_shared.errors import TooLarge

_END, _LOCATOR, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s24x3H12x")
_COMMENT = 2**16
ENTRY_BYTES = 4096
"""What an entry may take on average: its 46 bytes, a path, extra fields and a comment."""


class _Table(NamedTuple):
    entries: int
    size: int
    end: int
    """Where it ends in the file: its end record follows at once."""


def check_directory(file: BinaryIO, *, members: int) -> None:
    """Refuse a table of more than ``members`` entries, by what it says of itself and by counting.

    What is no zip passes: ``zipfile`` says so. Raises ``TooLarge``.
    """
    for table in _tables(file):
        if table.entries > members or _has_more(file, table, members=members):
            raise TooLarge(f"The archive has more than {members} files; split it.")
        if table.size > members * ENTRY_BYTES:
            raise TooLarge(f"The archive's table of contents has {table.size} bytes; split it.")


def _tables(file: BinaryIO) -> Iterator[_Table]:
    """Yield every table that some version of ``zipfile`` would take for the file's; mostly one."""
    length = file.seek(0, 2)
    start = max(0, length - _COMMENT - _END.size)
    file.seek(start)
    tail = file.read()
    bare = len(tail) - _END.size
    commentless = bare >= 0 and tail[bare : bare + 4] == b"PK\x05\x06" and tail[-2:] == b"\0\0"
    at = bare if commentless else tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return
    _, _, _, here, entries, size, _, _ = _END.unpack_from(tail, at)
    end = start + at
    locator = _read(file, end - _LOCATOR.size, _LOCATOR)
    if locator is None or locator[0] != b"PK\x06\x07":
        yield _Table(max(here, entries), size, end)
        return
    # The 64-bit record lies right before its locator, or where that says; versions of zipfile differ in which.
    adjacent = end - _LOCATOR.size - _END64.size
    records = {place: _read(file, place, _END64) for place in (adjacent, locator[2])}
    for place, record in records.items():
        if record is not None and record[0] == b"PK\x06\x06":
            yield _Table(max(record[6], record[7]), record[8], place)
        elif place == adjacent:
            yield _Table(max(here, entries), size, end)


def _has_more(file: BinaryIO, table: _Table, *, members: int) -> bool:
    """Walk over the entries; ``entries`` may be a lie."""
    at = table.end - table.size
    for _ in range(members + 1):
        entry = _read(file, at, _ENTRY) if at < table.end else None
        if entry is None or entry[0] != b"PK\x01\x02":
            return False
        at += _ENTRY.size + sum(entry[1:])
    return True


def _read(file: BinaryIO, at: int, record: struct.Struct) -> tuple[Any, ...] | None:
    if not 0 <= at <= file.seek(0, 2) - record.size:
        return None
    file.seek(at)
    return record.unpack(file.read(record.size))
