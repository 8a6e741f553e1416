"""Which pictures of an archive are imported, as what, and which are not: tables first, folders where they are silent.

Called by the task ``import_dataset``. Nothing is decoded here, and names are only compared with the archive's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from reel_ingest.imports import folders
from reel_ingest.imports.facts import FILE, LABEL, OWN, SPLIT, Facts, facts_of, first, plain
from reel_ingest.imports.folders import PROBE, TEST, TRAIN, VALID
from reel_ingest.imports.tables import Row, is_table, read_rows
from reel_shared.contracts import Source, Variant
from reel_shared.errors import BadRequest, Unprocessable
from reel_shared.zips import is_safe

TABLE_BYTES = 512 * 2**20
"""Of all tables, unpacked."""
MAX_REFUSED = 200_000
"""Rows that give no picture; each is remembered and written down."""
MAX_CLASSES = 10_000
_MAX_NAMED = 20
"""Tables of other things that are named; of further ones it is said how many there are."""
MISSING, UNSAFE, NO_CLASS = "missing", "unsafe-path", "no-class"
_METADATA = ("metadata.csv", "metadata.jsonl")


@dataclass(frozen=True, slots=True)
class Entry:
    """One original that is to be imported."""

    member: str
    """Its path in the archive."""
    label: str
    side: str
    """``train``, ``valid`` or empty."""
    probe: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Plan:
    """Entries lie in order: frames before web pictures, as frames have a certain label; then by their paths."""

    entries: list[Entry]
    refused: list[tuple[str, str]]
    """Paths that give no picture, and why."""
    own_export: bool
    variants_left_out: int
    renamed: dict[str, str]
    """Classes whose name had to change: name here -> name before."""
    notes: list[str]


class Files(Protocol):
    """An archive: its files' names, and one of them line by line."""

    def names(self) -> list[str]: ...

    def lines(self, name: str, *, max_bytes: int) -> Iterator[bytes]: ...


class _Said(NamedTuple):
    """What a table says of one picture, and where."""

    row: str
    label: str
    split: str
    facts: Facts


@dataclass(slots=True)
class _Reading:
    said: dict[str, _Said] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    own_export: bool = False
    notes: list[str] = field(default_factory=list)
    other_tables: list[str] = field(default_factory=list)
    """Tables that are none of pictures."""
    table_bytes: int = 0
    """Read of tables so far."""


def plan_import(files: Files) -> Plan:
    """Read the tables and folders of an archive.

    Raises:
        BadRequest: a table cannot be read; it names the file and the line.
        Unprocessable: there is no picture, there are too many classes, or two would get one name.
    """
    names = files.names()
    known = set(names)
    reading = _Reading()
    for table in sorted(filter(is_table, names), key=_rank):
        _read_table(files, table, known, reading)
    pictures = [name for name in names if folders.is_picture(name) or name in reading.said]
    if not pictures:
        raise Unprocessable(
            "The archive holds no pictures; pack the picture files, with folders or a table that name their classes."
        )
    others = sum(not is_table(name) for name in names) - len(pictures)
    reading.notes.extend(_on_other_tables(reading.other_tables))
    if others and not reading.own_export:
        reading.notes.append(f"{others} other files were not looked at.")
    return _joined(sorted(pictures), reading)


def _rank(name: str) -> tuple[int, str]:
    """The nearer to the root, the more a table covers: it is read first."""
    return len(PurePosixPath(name).parts), name


def _read_table(files: Files, table: str, known: set[str], reading: _Reading) -> None:
    must = PurePosixPath(table).name.lower() in _METADATA
    if not is_safe(table):
        reading.refused[table] = UNSAFE
        return
    for row in read_rows(table, _lines(files, table, reading)):
        if not any(name in row.cells for name in FILE):
            if must:
                row.refuse("it names no picture; a table needs a column file_name")
            reading.other_tables.append(table)
            return
        reading.own_export = reading.own_export or row.cells.keys() >= OWN
        _take_row(row, known, reading)


def _on_other_tables(tables: list[str]) -> Iterator[str]:
    for table in tables[:_MAX_NAMED]:
        yield f"{table} is no table of pictures, for it has no column file_name."
    if len(tables) > _MAX_NAMED:
        yield f"Nor are {len(tables) - _MAX_NAMED} other tables."


def _lines(files: Files, table: str, reading: _Reading) -> Iterator[bytes]:
    for line in files.lines(table, max_bytes=TABLE_BYTES):
        reading.table_bytes += len(line)
        if reading.table_bytes > TABLE_BYTES:
            raise BadRequest(
                f"The archive's tables are larger than {TABLE_BYTES} bytes together; leave some out."
            )
        yield line


def _take_row(row: Row, known: set[str], reading: _Reading) -> None:
    name = first(row, FILE)
    if not name:
        row.refuse("it names no file")
    member = _member(row.table, name, known)
    if member is None:
        if len(reading.refused) >= MAX_REFUSED:
            row.refuse(f"with it more than {MAX_REFUSED} rows name files that the archive lacks")
        shown = plain(name)[:1000]
        if shown not in known:  # such as the name of a file with an invisible letter behind it
            reading.refused.setdefault(shown, MISSING if is_safe(name) else UNSAFE)
        return
    said = _Said(f"{row.table!r}, line {row.line}", plain(first(row, LABEL)), _split_of(row), facts_of(row))
    before = reading.said.get(member)
    if before is None:
        reading.said[member] = said
        return
    for what, old, new in (("class", before.label, said.label), ("side", before.split, said.split)):
        if old and new and old != new:
            row.refuse(f"it calls the {what} of {member!r} {new!r}, and {before.row} calls it {old!r}")
    reading.said[member] = before._replace(label=before.label or said.label, split=before.split or said.split)


def _member(table: str, name: str, known: set[str]) -> str | None:
    """Return the file that a row means, seen from its table or from the root; None for one that is not there."""
    if not is_safe(name):
        return None
    found = (str(PurePosixPath(table).parent / name), str(PurePosixPath(name)))
    return next((member for member in found if member in known), None)


def _split_of(row: Row) -> str:
    text = first(row, SPLIT)
    if text:
        side = folders.side_of(text)
        if side is None:
            row.refuse(f"the split {text[:40]!r} is none of train, valid, test and probe-<name>")
        return side
    flag = row.cells.get("is_valid", "").strip().lower()
    if flag not in ("", "true", "false", "1", "0"):
        row.refuse(f"is_valid is {flag[:40]!r}, neither true nor false")
    return "" if not flag else VALID if flag in ("true", "1") else TRAIN


def _joined(pictures: list[str], reading: _Reading) -> Plan:
    root = folders.root_of(pictures)
    classes = _Classes()
    entries, variants = [], 0
    for member in pictures:
        said = reading.said.get(member)
        side, label = folders.place_of(member, root)
        if said is not None:
            side, label = said.split or side, said.label or label
            if said.facts.variant != Variant.ORIGINAL:
                variants += 1
                continue
        if not is_safe(member) or not label:
            reading.refused[member] = NO_CLASS if is_safe(member) else UNSAFE
            continue
        probe = side.removeprefix(PROBE) if side.startswith(PROBE) else ""
        facts = said.facts if said else Facts()
        entries.append(Entry(member, classes.name(label), "" if probe else side, probe, facts))
    entries = _sides(entries, reading.notes)
    entries.sort(key=lambda entry: (entry.facts.source != Source.MOVIE, entry.member))
    renamed = {here: before for before, here in classes.here.items() if here != before}
    refused = sorted(reading.refused.items())
    return Plan(entries, refused, reading.own_export, variants, renamed, reading.notes)


class _Classes:
    """Names of classes: as they are written here, by those before."""

    def __init__(self) -> None:
        self.here: dict[str, str] = {}
        self._before: dict[str, str] = {}

    def name(self, before: str) -> str:
        """Return a class's name. Raises ``Unprocessable`` for one that gets none of its own, and for too many."""
        if before not in self.here:
            self.here[before] = self._new(before)
        return self.here[before]

    def _new(self, before: str) -> str:
        found = folders.slug(before)
        if not found:
            raise Unprocessable(
                f"The class {before[:60]!r} has no letter from a to z and no digit in its name; rename it."
            )
        twin = self._before.setdefault(found, before)
        if twin != before:
            raise Unprocessable(
                f"The classes {twin[:60]!r} and {before[:60]!r} would both be called {found!r}; rename one of them."
            )
        if len(self._before) > MAX_CLASSES:
            raise Unprocessable(
                f"The archive has more than {MAX_CLASSES} classes; name them by fewer folders or labels."
            )
        return found


def _sides(entries: list[Entry], notes: list[str]) -> list[Entry]:
    """Say what ``test`` means: the pictures that judge, or a probe set when others judge already."""
    count = Counter(entry.side for entry in entries)
    if count[TEST]:
        as_probe = count[VALID] > 0
        notes.append(
            f"The {count[TEST]} pictures of the test side "
            + ("make up the probe set test." if as_probe else "are validation pictures.")
        )
        side, probe = ("", TEST) if as_probe else (VALID, "")
        entries = [
            replace(entry, side=side, probe=probe) if entry.side == TEST else entry for entry in entries
        ]
    sides = {entry.side for entry in entries} & {TRAIN, VALID}
    if len(sides) == 1:
        notes.append(f"All pictures lie on the side {sides.pop()}, so the next version splits them anew.")
        entries = [replace(entry, side="") for entry in entries]
    return entries
