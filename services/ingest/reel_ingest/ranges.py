"""A film cut at keyframes into ranges that are decoded apart; their union is one pass. Called by frames, tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reel_ingest.decoding import Film, open_film
from reel_ingest.movies import declared_seconds
from reel_ingest.packets import Ints, PacketTable, Unmapped
from reel_ingest.selection import Choice, Sampling, choose


@dataclass(frozen=True, slots=True)
class Range:
    """The frames with time stamps in [low, high), decoded from packet ``entry`` on."""

    number: int
    entry: int
    low: int
    high: int
    frames: int
    """Frames of the film that lie in it."""
    begin_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How a film is cut. ``to_json`` and ``from_json`` carry it between machines."""

    digest: str
    """Of the film's packet table; empty when there is none. A range of another file is refused."""
    frames: int
    """Frames of the film up to the wanted end; 0 when there is no packet table."""
    taken: int
    """Frames that will be taken; 0 when that is not known before decoding."""
    full_decode: str | None
    """Why the film is decoded from front to back in one range, or None."""
    ranges: tuple[Range, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        ranges = tuple(Range(**part) for part in data["ranges"])
        return cls(**{**data, "ranges": ranges})


def plan(path: Path, sampling: Sampling, *, parts: int = 1) -> Plan:
    """Cut a film into at most so many ranges of like work. Raises ``BadMovie``.

    One range when frames are taken by scene, when the film has too few places where decoding may begin, and when
    its packets do not say which frames it has: then no cut is known to be exact.
    """
    with open_film(path) as film:
        return plan_film(film, sampling, parts)


def plan_film(film: Film, sampling: Sampling, parts: int) -> Plan:
    """Do the same for a film that is open."""
    table = film.table
    if isinstance(table, Unmapped):
        return Plan("", 0, 0, table.reason, (Range(0, 0, 0, 0, 0, 0.0, _wanted_end(film, sampling)),))
    choice = choose(table, sampling)
    wanted = 1 if sampling.per_scene is not None else max(1, parts)
    entries = [0, *_cuts(table, choice, wanted)]
    lows = [int(table.shown[0]), *(int(table.pts[entry]) for entry in entries[1:])]
    ranges = [
        Range(
            number,
            entry,
            low,
            high,
            int(np.searchsorted(table.shown, high) - np.searchsorted(table.shown, low)),
            float(table.seconds(low)),
            _wanted_end(film, sampling) if high == choice.horizon else float(table.seconds(high)),
        )
        for number, (entry, low, high) in enumerate(
            zip(entries, lows, [*lows[1:], choice.horizon], strict=True)
        )
    ]
    taken = 0 if sampling.per_scene is not None else int(np.count_nonzero(choice.taken))
    return Plan(table.digest(), sum(part.frames for part in ranges), taken, None, tuple(ranges))


def _cuts(table: PacketTable, choice: Choice, parts: int) -> Iterator[int]:
    """Yield the packets at which ranges begin, the first one apart: the entries nearest to equal shares of work."""
    entries = _clean_entries(table, choice.horizon)
    work = np.cumsum(choice.packets & (table.pts < choice.horizon))
    last = 0
    for number in range(1, parts):
        if not len(entries):
            return
        nearest = int(entries[np.abs(work[entries] - work[-1] * number / parts).argmin()])
        if nearest > last:
            yield nearest
            last = nearest


def _clean_entries(table: PacketTable, horizon: int) -> Ints:
    """Return entries behind the first frame that are shown after every packet before them."""
    latest = np.maximum.accumulate(table.pts)
    before = np.concatenate([[np.iinfo(np.int64).min], latest[:-1]])
    clean = table.entry & (table.pts > before) & (table.pts > table.shown[0]) & (table.pts < horizon)
    return np.flatnonzero(clean & np.isin(table.pts, table.shown))


def _wanted_end(film: Film, sampling: Sampling) -> float:
    total = declared_seconds(film.container, film.stream) or 0.0
    return min(sampling.end_seconds or total, total or sampling.end_seconds or 0.0)
