"""What a row of a table says of a picture, checked cell by cell; called by ``plan``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from reel_ingest.imports.tables import Row
from reel_shared.contracts import Source, Variant

FILE = ("file_name", "path", "filename", "file", "filepath", "image")
"""Columns that name the picture's file, the first one that is there."""
LABEL = ("label", "class", "category")
SPLIT = ("split", "subset")
OWN = frozenset({"file_name", "split", "id", "label", "variant", "parent_id", "sha256", "phash", "group"})
"""Columns by which a table is known as one of our exports."""
_INT32, _INT64 = 2**31, 2**63
_TEXT = 2000
"""Characters of a free text that are kept."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is said of a picture; empty where nothing is. ``style`` is None where no column speaks of it."""

    sha256: str = ""
    phash: int | None = None
    variant: Variant = Variant.ORIGINAL
    source: Source = Source.WEB
    film: str = ""
    """Of a frame: what its film is called, unique in the archive."""
    scene: int | None = None
    time_seconds: float | None = None
    frame_index: int | None = None
    pts: int | None = None
    style: str | None = None
    title: str = ""
    creator: str = ""
    licence: str = ""
    licence_url: str = ""
    attribution: str = ""
    page_url: str = ""
    url: str = ""
    provider: str = ""
    taken_at: datetime | None = None


def first(row: Row, names: tuple[str, ...]) -> str:
    """Return the cell of the first of these columns that says something."""
    return next((text for name in names if (text := row.cells.get(name, "").strip())), "")


def facts_of(row: Row) -> Facts:
    """Read a row. Raises ``BadRequest`` with its line for a cell that is not what its column holds."""
    film = text_of(row, "movie_id") or text_of(row, "movie")
    return Facts(
        sha256=_matching(row, "sha256", r"[0-9a-f]{64}", "64 hexadecimal digits"),
        phash=_hash(row),
        variant=_variant(row),
        source=_source(row, film),
        film=film,
        scene=_scene(row),
        time_seconds=_seconds(row),
        frame_index=_whole(row, "frame_index", _INT32),
        pts=_whole(row, "pts", _INT64),
        style=text_of(row, "style") if "style" in row.cells else None,
        title=text_of(row, "title"),
        creator=text_of(row, "creator") or text_of(row, "author"),
        licence=text_of(row, "licence") or text_of(row, "license"),
        licence_url=_address(row, "licence_url") or _address(row, "license_url"),
        attribution=text_of(row, "attribution"),
        page_url=_address(row, "page_url"),
        url=_address(row, "url"),
        provider=text_of(row, "provider"),
        taken_at=_moment(row),
    )


def text_of(row: Row, name: str) -> str:
    """Return a cell as text that a database takes."""
    return plain(row.cells.get(name, ""))


def plain(text: str) -> str:
    """Return the beginning of a text without control characters and halves of characters."""
    whole = text[:_TEXT].encode("utf-8", errors="replace").decode()
    return "".join(sign if sign.isprintable() else " " for sign in whole).strip()


def _address(row: Row, name: str) -> str:
    """Return a web address; what else may stand there, such as a script, must not become a link."""
    text = text_of(row, name)
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.netloc else ""


def _matching(row: Row, name: str, pattern: str, wanted: str) -> str:
    text = row.cells.get(name, "").strip().lower()
    if text and not re.fullmatch(pattern, text):
        row.refuse(f"{name} is {text[:40]!r}, not {wanted}")
    return text


def _hash(row: Row) -> int | None:
    text = _matching(row, "phash", r"[0-9a-f]{16}", "16 hexadecimal digits")
    return int(text, 16) if text else None


def _variant(row: Row) -> Variant:
    text = row.cells.get("variant", "").strip().lower() or Variant.ORIGINAL
    if text not in set(Variant):
        row.refuse(f"variant is {text[:40]!r}, not one of {', '.join(Variant)}")
    return Variant(text)


def _source(row: Row, film: str) -> Source:
    """Return what the picture is; without a word on it, one of a film is a frame. Other sources are the web."""
    text = row.cells.get("source", "").strip().lower()
    return Source.MOVIE if text == Source.MOVIE or (film and not text) else Source.WEB


def _scene(row: Row) -> int | None:
    """Return the scene's number; exports write it behind the film's name."""
    text = row.cells.get("scene", "").strip()
    return _number(row, "scene", text.rpartition(":")[2], _INT32) if text else None


def _whole(row: Row, name: str, below: int) -> int | None:
    text = row.cells.get(name, "").strip()
    return _number(row, name, text, below) if text else None


def _number(row: Row, name: str, text: str, below: int) -> int:
    signed = r"-?[0-9]{1,19}" if name == "pts" else r"[0-9]{1,19}"
    if not re.fullmatch(signed, text) or not -below <= int(text) < below:
        row.refuse(f"{name} is {text[:40]!r}, not a whole number that fits")
    return int(text)


def _seconds(row: Row) -> float | None:
    text = row.cells.get("time_seconds", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < _INT32:
        row.refuse(f"time_seconds is {text[:40]!r}, not a time from the film's start")
    return seconds


def _moment(row: Row) -> datetime | None:
    name = "taken_at" if row.cells.get("taken_at", "").strip() else "date"
    text = row.cells.get(name, "").strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        row.refuse(f"{name} is {text[:40]!r}, not a date such as 2020-01-31")
