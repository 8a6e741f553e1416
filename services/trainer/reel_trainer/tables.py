"""What an export says of its pictures, for spreadsheets and for Hugging Face; called by ``packing``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from reel_shared.manifest import ManifestImage
from reel_trainer.splits import root

_OWN = ("id", "label", "source", "variant", "parent_id", "width", "height", "sha256", "phash")
_ORIGIN = (
    *("style", "movie_id", "scene", "time_seconds", "frame_index", "pts", "group"),
    *("title", "creator", "licence", "licence_url", "attribution", "page_url", "url", "provider", "taken_at"),
)
"""What a manifest says of originals only; the row of a variant says it of its original, whose licence binds it."""
COLUMNS = (*_OWN, *_ORIGIN)
_NO_TEXT = ("time_seconds", "frame_index", "pts", "taken_at")
"""Columns whose type shows only where there is a value."""
ById = Mapping[str, ManifestImage]


def spreadsheet(images: Sequence[tuple[ManifestImage, dict[str, Any]]], by_id: ById) -> bytes:
    """Return a CSV table of pictures; the columns given for each come first."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [*(images[0][1] if images else ["file_name"]), *COLUMNS], lineterminator="\n"
    )
    writer.writeheader()
    for image, first in images:
        writer.writerow(first | {name: _cell(value) for name, value in _facts(image, by_id).items()})
    return text.getvalue().encode()


def descriptions(parts: Mapping[str, Mapping[str, ManifestImage]], by_id: ById) -> dict[str, bytes]:
    """Return for each part of one Hugging Face data set its ``metadata.jsonl``; parts map file names to pictures.

    A column's type is guessed from a file's beginning and must be the same in each part. So text is never null, what
    is no text is there in all parts or in none (``images.csv`` has it all the same), and comes first where it is.
    """
    rows = {
        part: [{"file_name": name} | _facts(image, by_id) for name, image in images.items()]
        for part, images in parts.items()
    }
    lacking = {
        column
        for column in _NO_TEXT
        if any(all(row[column] is None for row in of_part) for of_part in rows.values())
    }
    return {part: _lines(of_part, lacking) for part, of_part in rows.items()}


def _lines(rows: list[dict[str, Any]], lacking: set[str]) -> bytes:
    shown = [column for column in _NO_TEXT if column not in lacking]
    telling = {next(at for at, row in enumerate(rows) if row[column] is not None) for column in shown}
    order = [*sorted(telling), *(at for at in range(len(rows)) if at not in telling)]
    text = io.StringIO()
    for at in order:
        row = {name: _plain(name, value) for name, value in rows[at].items() if name not in lacking}
        text.write(json.dumps(row, ensure_ascii=False) + "\n")
    return text.getvalue().encode()


def _facts(image: ManifestImage, by_id: ById) -> dict[str, Any]:
    origin = root(image, by_id)
    own = {name: getattr(image, name) for name in _OWN}
    return own | {name: getattr(origin, name) for name in _ORIGIN}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(
            timespec="seconds"
        )  # what is finer is read as a text, or not, by the rows around it
    return "" if value is None and name not in _NO_TEXT else value


def _cell(value: Any) -> Any:
    """Keep a spreadsheet from running what a stranger wrote as a title."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else value
