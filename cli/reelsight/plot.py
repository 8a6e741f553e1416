"""Draws a line into a few rows of text, two by four dots a character; used by `reel trainings watch`."""

from __future__ import annotations

from collections.abc import Sequence

_BLANK = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a braille character, by row and column."""


def plot(points: Sequence[tuple[float, float]], *, width: int, height: int) -> list[str]:
    """Return ``height`` lines of ``width`` characters: the points by their x, joined, the largest y on top."""
    if width < 1 or height < 1:
        raise ValueError("a plot needs room for a character")
    cells = [[_BLANK] * width for _ in range(height)]
    places = _places(points, 2 * width - 1, 4 * height - 1)
    for (x, y), (to_x, to_y) in zip(places, [*places[1:], *places[-1:]], strict=True):
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            column, row = x + (to_x - x) * step // steps, y + (to_y - y) * step // steps
            cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(map(chr, line)) for line in cells]


def _places(points: Sequence[tuple[float, float]], right: int, bottom: int) -> list[tuple[int, int]]:
    if not points:
        return []
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, low = min(xs), min(ys)
    wide, high = max(xs) - left or 1.0, max(ys) - low
    return [
        (
            round((x - left) / wide * right),
            bottom - (round((y - low) / high * bottom) if high else bottom // 2),
        )
        for x, y in points
    ]
