"""Which lines at a film's edges are a bar, out of what those lines showed through the film; called by borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reel_shared.contracts import Bar

BLACK = 12
"""Luma (full range) up to which a bar may be called black."""
UNIFORM = 8
"""Spread of luma over a whole line and the whole film up to which it is a bar of any other colour."""
WIDEST = 0.36
"""Share of the picture that one bar may take: an upright film shown on a wide screen has bars of 0.34."""
LONELY_BLACK, LONELY_COLOURED = 1 / 8, 1 / 32
"""The same for a bar that has no fellow on the other side, as skies and floors have none."""

_CONTRAST = 2 * BLACK
_AGREE_BLACK, _AGREE_OTHER = 0.25, 0.75
_BEGINS = 0.02
"""Share of a line that has to differ from the bar for the picture to begin there in one frame."""
_WHOLE = 0.6
_WHOLE_SHARE = 0.1
_COVERED = 0.5
_MOVES = 0.5
_FELLOW_PIXELS = 2
_LINE_QUANTILES = (2, 98)
_TIME_QUANTILES = (0.02, 0.98)

Strips = npt.NDArray[np.uint8]
"""(frames, lines, 256): the luma of every line squeezed to 256 places, lines in the order from one edge."""


@dataclass(frozen=True, slots=True)
class _Side:
    width: int
    lines: int
    colour: npt.NDArray[np.float64]
    agreement: float
    whole: float
    covered: float
    moves: float

    @property
    def black(self) -> bool:
        return bool(self.colour.max() <= 2 * BLACK)

    @property
    def begins(self) -> bool:
        """Whether the picture begins right behind it, in enough frames and along enough of it.

        Behind a real bar the picture begins at the same line again and again, and sooner or later everywhere.
        The dark top of a night sky ends at another line in every scene, or only where one roof stands; beside
        credits on black there are the ends of lines of text.
        """
        agreed = self.agreement >= (_AGREE_BLACK if self.black else _AGREE_OTHER)
        return agreed and self.covered >= _COVERED and self.whole >= _WHOLE_SHARE

    def like(self, other: _Side) -> bool:
        """Whether the other side's candidate is a bar of the same colour."""
        both_black = self.black and other.black
        alike = both_black or bool(np.abs(self.colour - other.colour).max() <= 2 * UNIFORM)
        # Above a film of nights the picture begins in few frames; black that ends as far in as below is no sky.
        even = both_black and self.even(other) and other.covered >= _COVERED
        return other.width > 0 and alike and (other.begins or even)

    def even(self, other: _Side) -> bool:
        return abs(self.width - other.width) <= _FELLOW_PIXELS


def candidate_widths(strips: Strips) -> tuple[int, int]:
    """Return how many lines from the first and from the last on stay the same through the film."""
    # Percentiles along a line ignore specks and compression noise, those over time a stray frame.
    spread = [np.percentile(frame, _LINE_QUANTILES, axis=1) for frame in strips]
    low, high = np.stack(spread, axis=1)
    lowest = np.quantile(low, _TIME_QUANTILES[0], axis=0)
    highest = np.quantile(high, _TIME_QUANTILES[1], axis=0)
    return _run(lowest, highest), _run(lowest[::-1], highest[::-1])


def judged(
    strips: Strips, widths: tuple[int, int], colours: npt.NDArray[np.float64], across: slice
) -> tuple[Bar, Bar]:
    """Say of the candidates at both ends of an axis whether they are bars, and why not.

    ``colours`` is the mean RGB of every line (lines, 3); ``across`` the part of the 256 places along a line that
    lies between the candidates of the other axis.
    """
    first = _side(strips, widths[0], colours, across)
    last = _side(strips[:, ::-1], widths[1], colours[::-1], across)
    bars = _bar(first, last), _bar(last, first)
    return _vouched(bars[0], first, bars[1], last), _vouched(bars[1], last, bars[0], first)


def _run(lowest: npt.NDArray[Any], highest: npt.NDArray[Any]) -> int:
    """Return how many lines from the first on are constant and of the first one's level."""
    black = highest <= BLACK
    level = (lowest + highest) / 2
    uniform = (highest - lowest <= UNIFORM) & (np.abs(level - level[0]) <= UNIFORM)
    same = black if black[0] else uniform
    return len(same) if same.all() else int(np.argmin(same))


def _side(strips: Strips, width: int, colours: npt.NDArray[np.float64], across: slice) -> _Side:
    lines = strips.shape[1]
    if not 0 < width < lines:
        colour = np.zeros(3) if width == 0 else colours.mean(axis=0)
        return _Side(width, lines, colour, 0.0, 0.0, 0.0, 0.0)
    behind = strips[:, width : width + 3, across].astype(np.int16)
    levels = strips[:, :width, across].mean(axis=(1, 2), dtype=np.float32)
    contrast = (np.abs(behind - levels[:, None, None]) > _CONTRAST).any(axis=1)
    share = contrast.mean(axis=1)
    low, high = np.quantile(behind, (0.05, 0.95), axis=0)
    return _Side(
        width=width,
        lines=lines,
        colour=colours[:width].mean(axis=0),
        agreement=float((share > _BEGINS).mean()),
        whole=float((share > _WHOLE).mean()),
        covered=float(contrast.any(axis=0).mean()),
        moves=float(((high - low) > _CONTRAST).any(axis=0).mean()),
    )


def _bar(side: _Side, other: _Side) -> Bar:
    reason = _objection(side, other) if side.width else ""
    red, green, blue = (round(float(value)) for value in side.colour)
    return Bar(
        pixels=side.width,
        colour=(red, green, blue),
        agreement=round(side.agreement, 3),
        covered=round(side.covered, 3),
        cut=side.width > 0 and not reason,
        reason=reason,
    )


def _objection(side: _Side, other: _Side) -> str:
    """Return why the candidate is not cut, or nothing."""
    share = side.width / side.lines
    if share > WIDEST:
        return "too wide for a bar"
    if not side.begins:
        return "the picture does not begin behind it in enough frames or along enough of it"
    paired = side.like(other)
    if side.moves < _MOVES and not (paired and side.even(other)):
        return "nothing moves behind it, so it may be part of a picture that stands still"
    if paired and 2 * other.width >= side.width:
        return ""
    if share > (LONELY_BLACK if side.black else LONELY_COLOURED):
        return "too wide for a bar without a fellow on the other side; it may be a sky or a floor"
    return ""


def _vouched(bar: Bar, side: _Side, other: Bar, opposite: _Side) -> Bar:
    """Cut a doubtful candidate after all where the other side has a bar like it.

    Of a black one only as much as there: lines that are black through the whole film are no loss, wherever the
    night behind them begins.
    """
    if bar.cut or not other.cut or side.width == 0:
        return bar
    alike = bool(np.abs(side.colour - opposite.colour).max() <= UNIFORM)
    if alike and side.begins and opposite.width / 2 <= side.width <= 2 * opposite.width:
        return bar.model_copy(update={"cut": True, "reason": ""})
    if side.black and opposite.black and side.width >= opposite.width - _FELLOW_PIXELS:
        pixels = min(side.width, opposite.width)
        return bar.model_copy(update={"cut": True, "reason": "", "pixels": pixels})
    return bar
