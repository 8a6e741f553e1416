"""Tables that a stranger wrote, row by row with their line numbers: CSV and JSON lines; called by ``plan``.

What cannot be read is refused with the file and the line, so that a person can go there.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from reel_shared.errors import BadRequest

LINE_BYTES = 2**20
"""Longest line of a table; ours have some hundred bytes."""
COLUMNS = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: text by column; what is missing or null is empty text."""

    table: str
    line: int
    """Where it ends in the file, counted from 1."""
    cells: dict[str, str]

    def refuse(self, why: str) -> NoReturn:
        refuse(self.table, self.line, why)


def refuse(table: str, line: int, why: str) -> NoReturn:
    """Raise ``BadRequest`` for a line of a table."""
    raise BadRequest(f"The table {table!r} cannot be read, line {line}: {why}.", table=table, line=line)


def is_table(name: str) -> bool:
    """Whether a file of this name may be a table of pictures."""
    return name.lower().endswith((".csv", ".jsonl"))


def read_rows(name: str, lines: Iterable[bytes]) -> Iterator[Row]:
    """Yield a table's rows as they are read; its name says which kind it is. Raises ``BadRequest``."""
    text = _decoded(name, lines)
    return _json_rows(name, text) if name.lower().endswith(".jsonl") else _csv_rows(name, text)


def _decoded(name: str, lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_BYTES:
            refuse(name, number, f"it is longer than {LINE_BYTES} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            refuse(name, number, "it is not UTF-8 text; save the table as UTF-8")


def _csv_rows(name: str, text: Iterator[str]) -> Iterator[Row]:
    reader = csv.reader(text, strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_header(name, header)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                refuse(
                    name, reader.line_num, f"it has {len(cells)} cells, and the first line has {len(header)}"
                )
            yield Row(name, reader.line_num, dict(zip(header, map(_unescaped, cells), strict=True)))
    except csv.Error as error:
        refuse(name, reader.line_num, str(error))


def _check_header(name: str, header: list[str]) -> None:
    if len(header) > COLUMNS:
        refuse(name, 1, f"it has {len(header)} columns; at most {COLUMNS} are read")
    twice = next((column for column in header if column and header.count(column) > 1), None)
    if twice is not None:
        refuse(name, 1, f"the column {twice!r} stands twice")


def _unescaped(cell: str) -> str:
    """Take off the quote that keeps a spreadsheet from running a cell as a formula; exports put it there."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA and len(cell) > 1 else cell


def _json_rows(name: str, text: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            refuse(name, number, "it is not JSON")
        if not isinstance(content, dict):
            refuse(name, number, "it is not a JSON object with a field for each column")
        yield Row(name, number, {str(column): _text(value) for column, value in content.items()})


def _text(value: Any) -> str:
    """Return a JSON value as a cell; lists and objects say nothing that is read here."""
    if isinstance(value, dict | list) or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
