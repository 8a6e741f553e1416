"""Black or white bars around a single picture, as of a letterboxed screenshot; called by pictures and encoded_hashing.

One picture shows less than a film, so only what has a straight inner edge all along is taken for a bar: the white
paper around a drawing and a night sky are left alone. ``borders`` measures films.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

_STRIP = 256
_BLACK, _WHITE = 20, 235
_SPREAD = 12
"""Levels within which the pixels of a bar lie."""
_STEP = 24
"""Levels by which the picture behind a bar differs from it."""
_STRAIGHT = 0.6
"""Share of the edge along which the picture begins right behind the bar."""
_BEHIND = 4
"""Lines behind the bar within which it begins: scaling and JPEG blocks blur the edge."""
_FULL = 0.85
"""Share of the next line's difference from the bar that a line of the picture itself has."""
_SMALLEST = 2
_KEPT = 0.25


def without_bars(image: Picture) -> Picture | None:
    """Return the view of an RGB or grey picture inside its bars; None when it has none, or they are most of it."""
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    found = inner_edges(grey)
    return None if found is None else image[found[0] : found[1], found[2] : found[3]]


def inner_edges(grey: Picture) -> tuple[int, int, int, int] | None:
    """Return top, bottom, left and right of what is inside the bars, or None as ``without_bars`` does."""
    height, width = grey.shape
    top, bottom = _both_ends(grey)
    left, right = _both_ends(grey[top : height - bottom].T)
    if not (top or bottom or left or right):
        return None
    if (height - top - bottom) * (width - left - right) < _KEPT * height * width:
        return None
    return top, height - bottom, left, width - right


def _both_ends(grey: Picture) -> tuple[int, int]:
    """Return how many lines at the first and at the last end make up bars."""
    # Most pictures have none, which their outermost lines tell at a tenth of the work.
    if not any(_may_begin(end[:_SMALLEST]) for end in (grey, grey[::-1])):
        return 0, 0
    lines = _narrow(grey)
    return _bar(lines), _bar(lines[::-1])


def _may_begin(lines: Picture) -> bool:
    # One pixel rules out most of them; of wide lines it is averages that count.
    if lines.shape[1] <= _STRIP and _BLACK < lines[0, 0] < _WHITE:
        return False
    return bool(_uniform(_narrow(lines)).all())


def _narrow(lines: Picture) -> Picture:
    lines = np.ascontiguousarray(lines)
    if lines.shape[1] <= _STRIP:
        return lines
    return np.asarray(cv2.resize(lines, (_STRIP, len(lines)), interpolation=cv2.INTER_AREA), np.uint8)


def _uniform(lines: Picture) -> npt.NDArray[np.bool_]:
    """Return which lines are of one colour with the first, black or white."""
    low, high = lines.min(axis=1).astype(int), lines.max(axis=1).astype(int)
    # A bar is of one colour: the white paper behind a black bar belongs to the picture.
    uniform = (high <= _BLACK) if high[0] <= _BLACK else (low >= _WHITE)
    return np.asarray(uniform & (high - low <= _SPREAD))


def _bar(lines: Picture) -> int:
    uniform = _uniform(lines)
    count = len(uniform) if uniform.all() else int(np.argmin(uniform))
    if not _SMALLEST <= count < len(lines):
        return 0
    level = float(lines[: max(1, count - _SMALLEST)].mean())
    behind = np.abs(lines[count : count + _BEHIND + 1].astype(np.float32) - level)
    if float((behind.max(axis=0) > _STEP).mean()) < _STRAIGHT:
        return 0
    # Scaling blurs the bar into the picture's first lines, and a line of half its light would count as an edge.
    light = behind.mean(axis=1)
    blurred = light[:-1] < _FULL * light[1:]
    return count + (int(np.argmin(blurred)) if not blurred.all() else len(blurred))
