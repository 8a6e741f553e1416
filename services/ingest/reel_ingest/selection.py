"""Which frames of a film are taken: every N frames, every T seconds, or so many a scene; called by frames, ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from reel_ingest.packets import Flags, Ints, PacketTable
from reel_ingest.scenes import WINDOW

Due = Callable[[int, int | Fraction], bool]
"""Says of each frame in turn, by its index and its ticks since second 0, whether it is taken."""

Past = Callable[[int | Fraction], bool]
"""Says whether so many ticks lie at or past the end."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is asked for; exactly one of the three steps. Frames lie in [start_seconds, end_seconds).

    ``fast`` takes the nearest frame that is decoded anyway instead of the one that is due, and leaves the
    deblocking filter out: times are those of the frames taken, pixels drift a little.
    """

    every_frames: int | None = None
    every_seconds: float | None = None
    per_scene: int | None = None
    start_seconds: float = 0.0
    end_seconds: float | None = None
    mode: Literal["exact", "fast"] = "exact"

    def __post_init__(self) -> None:
        steps = (self.every_frames, self.every_seconds, self.per_scene)
        if sum(step is not None for step in steps) != 1:
            raise ValueError("give one of every_frames, every_seconds and per_scene")
        if any(step is not None and step <= 0 for step in steps):
            raise ValueError("the step must be above 0")

    def due(self, tick: Fraction) -> Due:
        """Return the rule for a film whose time stamps count in ticks of so many seconds."""
        # All in integers over one denominator: this runs for every frame of a film.
        start = Fraction(self.start_seconds).limit_denominator(1_000_000)
        scale, begin = tick.numerator * start.denominator, start.numerator * tick.denominator
        if self.every_frames is not None:
            step = self.every_frames
            return lambda index, ticks: index % step == 0 and ticks * scale >= begin
        if self.per_scene is not None:
            return lambda _index, ticks: ticks * scale >= begin
        wish = Fraction(self.every_seconds or 0).limit_denominator(1_000_000)
        length = wish.numerator * tick.denominator * start.denominator
        last_mark = -1

        def due(_index: int, ticks: int | Fraction) -> bool:
            nonlocal last_mark
            # One tick of grace: containers round time stamps, and 1.999 of 2 s is the frame meant.
            since = (ticks + 1) * scale - begin
            mark = int(since * wish.denominator // length)
            if since < 0 or mark <= last_mark:
                return False
            last_mark = mark
            return True

        return due

    def past(self, tick: Fraction) -> Past:
        """Return a function that says whether so many ticks lie at or past the end."""
        if self.end_seconds is None:
            return lambda _ticks: False
        end = Fraction(self.end_seconds) / tick
        return lambda ticks: ticks >= end


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a film is taken and decoded."""

    taken: Flags
    """By frame index."""
    shift: npt.NDArray[np.float64] | None
    """By frame index: seconds from the frame taken to the one that was due; None when they are the same."""
    packets: Flags
    """By packet: it is sent to the decoder."""
    horizon: int
    """Time stamp before which frames are decoded: the end, and what scene detection needs behind it."""


def choose(table: PacketTable, sampling: Sampling) -> Choice:
    """Work out which frames are taken and which packets must be decoded for them and for the scenes."""
    rule, past = sampling.due(table.time_base), sampling.past(table.time_base)
    ticks = (table.shown - table.start).tolist()
    taken = np.fromiter(
        (not past(tick) and rule(index, tick) for index, tick in enumerate(ticks)), np.bool_, len(ticks)
    )
    disposable = table.disposable[table.order]
    shift = None
    if sampling.per_scene is not None:
        taken &= ~disposable
    elif sampling.mode == "fast" and not disposable.all():
        taken, shift = _nearest(table, taken, np.flatnonzero(~disposable))
    packets = ~table.disposable
    packets[table.order[taken]] = True
    return Choice(taken, shift, packets, _horizon(table, past))


def _nearest(table: PacketTable, due: Flags, anchors: Ints) -> tuple[Flags, npt.NDArray[np.float64]]:
    """Move every due frame to the nearest anchor, the earlier one of two as near."""
    taken, shift = np.zeros_like(due), np.zeros(len(due))
    wished = np.flatnonzero(due)
    behind = np.searchsorted(anchors, wished)
    right = anchors[np.minimum(behind, len(anchors) - 1)]
    left = anchors[np.maximum(behind - 1, 0)]
    to_right, to_left = (np.abs(table.shown[side] - table.shown[wished]) for side in (right, left))
    found = np.where(to_right < to_left, right, left)
    taken[found] = True
    shift[found] = (table.shown[wished] - table.shown[found]) * float(table.time_base)
    return taken, shift


def _horizon(table: PacketTable, past: Past) -> int:
    anchors = table.anchor_stamps
    low, high = 0, len(anchors)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if past(int(anchors[middle]) - table.start) else (middle + 1, high)
    # One anchor behind the end may be the one a last frame belongs to; its scene is final WINDOW later.
    settled = low + WINDOW
    return int(anchors[settled]) + 1 if settled < len(anchors) else int(table.shown[-1]) + 1
