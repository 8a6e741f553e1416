"""Marks that lie on a film's picture in every scene: a station's logo, rounded dark corners. Called by borders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

ALWAYS = 0.97
"""Share of the frames in which a mark is seen; one of forty may fail."""
DARK = 64
"""Luma that a scan's rounded corner does not exceed; its edge is soft and its black is grey."""

_EDGE = 4.0
_SEEN = 0.4
_FAINT = 2.0
_JOIN = np.ones((21, 21), dtype=np.uint8)
_FEWEST = 24
_STILL = 0.015
"""Share of the picture with edges that never move from which on it stands still and no mark can be told."""
_MOST = 4
_THINNEST = 4
_NEAR_EDGE, _OFF_EDGE = 0.2, 0.008
_RING = np.ones((43, 43), dtype=np.uint8)
_CHANGES = 24
_LARGEST = 0.06
_BRIGHT = 112
_CORNER = 0.15

Lumas = npt.NDArray[np.uint8]
"""(frames, H, W), small."""
Flags = npt.NDArray[np.bool_]


class Mark(NamedTuple):
    """Where a mark lies, in pixels of the small picture, and in what share of its frames it was seen."""

    kind: Literal["logo", "rounded-corners"]
    left: int
    top: int
    width: int
    height: int
    seen: float

    def meets(self, other: Mark) -> bool:
        """Whether the boxes have anything in common."""
        across = self.left < other.left + other.width and other.left < self.left + self.width
        return across and self.top < other.top + other.height and other.top < self.top + self.height


def marks(lumas: Lumas) -> list[Mark]:
    """Return the marks in a film's small pictures, whose bars are cut off already."""
    corners = rounded_corners(lumas)
    return [*corners, *(logo for logo in logos(lumas) if not any(map(logo.meets, corners)))]


def logos(lumas: Lumas) -> list[Mark]:
    """Return small things near the edges whose outline is there in every frame, opaque or not.

    What is behind a half-transparent logo changes its levels, but not the direction in which they rise across
    its outline. In a picture that stands still all outlines do the same: nothing is said of one that does so in
    many places, nor of things around which nothing changes.
    """
    across, down = _mean_slopes(lumas)
    strength = np.hypot(across, down)
    seen = np.zeros(strength.shape, dtype=np.float32)
    for luma in lumas:
        slope = (_slope(luma, 1, 0) * across + _slope(luma, 0, 1) * down) / np.maximum(strength, 1e-3)
        seen += slope > np.maximum(_FAINT, _SEEN * strength)
    seen /= len(lumas)
    outline = (strength > _EDGE) & (seen >= ALWAYS)
    if outline.mean() > _STILL:
        return []
    low, high = np.quantile(lumas, (0.05, 0.95), axis=0)
    changes = high - low > _CHANGES
    found = []
    for part in _components(outline):
        left, top, wide, tall = _box(part)
        ring = cv2.dilate(part.astype(np.uint8), _RING) > cv2.dilate(part.astype(np.uint8), _JOIN)
        if _placed_as_a_logo(left, top, wide, tall, outline.shape) and changes[ring].mean() >= 0.5:
            found.append(Mark("logo", left, top, wide, tall, float(seen[part].mean())))
    return found if len(found) <= _MOST else []


def _placed_as_a_logo(left: int, top: int, wide: int, tall: int, shape: tuple[int, ...]) -> bool:
    """Whether a box is small and lies near an edge but not at it, where a scan's own frame shows."""
    height, width = shape
    beside = min(left + wide / 2, width - left - wide / 2) < _NEAR_EDGE * width
    above = min(top + tall / 2, height - top - tall / 2) < _NEAR_EDGE * height
    gaps = (left / width, top / height, 1 - (left + wide) / width, 1 - (top + tall) / height)
    fits = min(wide, tall) >= _THINNEST and wide * tall <= _LARGEST * width * height
    return fits and (beside or above) and min(gaps) >= _OFF_EDGE


def rounded_corners(lumas: Lumas) -> list[Mark]:
    """Return the dark corners of an old scan or a screen; at least two of the four, or none.

    In a film that is dark nearly everywhere the corners say nothing.
    """
    highest = np.quantile(lumas, 0.95, axis=0)
    if np.median(highest) < _BRIGHT:
        return []
    dark = highest <= DARK
    height, width = dark.shape
    found = []
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=4)
    for y, x in ((0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)):
        number = int(labels[y, x])
        left, top, wide, high, area = (int(value) for value in boxes[number])
        # Round: it fills about a fifth of its box, and a triangle half of it.
        fits = wide <= _CORNER * width and high <= _CORNER * height and area <= 0.75 * wide * high
        if number and fits and area >= _FEWEST // 2:
            seen = float((lumas[:, labels == number] <= DARK).mean())
            found.append(Mark("rounded-corners", left, top, wide, high, seen))
    return found if len(found) >= 2 else []


def _mean_slopes(lumas: Lumas) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    across = np.zeros(lumas.shape[1:], dtype=np.float32)
    down = np.zeros_like(across)
    for luma in lumas:
        across += _slope(luma, 1, 0)
        down += _slope(luma, 0, 1)
    across /= len(lumas)
    down /= len(lumas)
    return across, down


def _slope(luma: npt.NDArray[np.uint8], dx: int, dy: int) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.Sobel(luma, cv2.CV_32F, dx, dy, scale=0.25), dtype=np.float32)


def _components(flags: Flags) -> Iterator[Flags]:
    """Yield every larger group of flags that lie within a few pixels of one another."""
    joined = cv2.dilate(flags.astype(np.uint8), _JOIN)
    count, labels = cv2.connectedComponents(joined)
    for number in range(1, count):
        part = flags & (labels == number)
        if part.sum() >= _FEWEST:
            yield part


def _box(flags: Flags) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(flags.any(axis=1)), np.flatnonzero(flags.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
