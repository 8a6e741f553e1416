"""The tiny pictures of decoded frames that scene cuts are found by, made of several frames at a time.

Called by extraction and scenes. A frame is read as soon as it is there, a twentieth of its rows; the arithmetic, whose
calls take longer than their work, is done for all frames read since.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from reel_ingest.movies import PLANAR

TINY = (64, 36)
"""Width and height of a tiny picture."""
MOST = 16
"""Frames that are read before their pictures must be made."""

Tiny = npt.NDArray[np.uint8]
"""(36, 64, 3), HSV."""

_WIDE, _HIGH = TINY
_COARSE = (_WIDE // 2, _HIGH // 2)
"""Colours are looked at half as finely."""


class TinyPictures:
    """Frames read so far (``av.VideoFrame``), shrunk together by ``take``; each as it would be alone.

    Of so many rows of each plane, two samples are averaged for each pixel: what this costs is the memory that it
    touches, and it finds the cuts that whole pictures show.
    """

    def __init__(self) -> None:
        self._shape: tuple[str | int, ...] = ()
        self._depth = 8
        self._rows: list[npt.NDArray[np.intp]] = []
        self._read: list[npt.NDArray[Any]] = []
        """Of each plane the rows that count, with what pads them in memory: (MOST, rows, line)."""
        self._widths: list[int] = []
        self._count = 0
        self._made: list[Tiny] = []

    def __len__(self) -> int:
        return len(self._made) + self._count

    def add(self, frame: Any) -> None:
        """Read one more frame, at most ``MOST`` before the next ``take``."""
        name = frame.format.name
        depth = PLANAR.get(name)
        if depth is None:
            self._make()
            small = frame.reformat(*TINY, format="bgr24", interpolation="FAST_BILINEAR", threads=1)
            self._made.append(np.asarray(cv2.cvtColor(small.to_ndarray(), cv2.COLOR_BGR2HSV), np.uint8))
            return
        planes = frame.planes[:3]
        shape = (name, frame.width, frame.height, *[plane.line_size for plane in planes])
        if shape != self._shape:
            self._make()
            self._shape, self._depth = shape, depth
            self._prepare(planes)
        for plane, rows, read in zip(planes, self._rows, self._read, strict=True):
            lines = np.frombuffer(plane, read.dtype).reshape(-1, read.shape[2])
            # The mode is said because numpy would copy twice to raise in time.
            lines.take(rows, axis=0, out=read[self._count], mode="clip")
        self._count += 1

    def take(self) -> list[Tiny]:
        """Return the pictures of the frames read since the last time, in order."""
        self._make()
        made, self._made = self._made, []
        return made

    def _prepare(self, planes: list[Any]) -> None:
        counts, each = (_HIGH, _COARSE[1], _COARSE[1]), 1 if self._depth == 8 else 2
        self._rows = [_middles(plane.height, count) for plane, count in zip(planes, counts, strict=True)]
        self._read = [
            np.empty((MOST, count, plane.line_size // each), f"u{each}")
            for plane, count in zip(planes, counts, strict=True)
        ]
        self._widths = [plane.width for plane in planes]

    def _make(self) -> None:
        if not self._count:
            return
        sizes = (_WIDE, _COARSE[0], _COARSE[0])
        light, *chroma = map(self._shrunk, self._read, self._widths, sizes)
        planes = [light.reshape(-1, _WIDE), *map(_refined, chroma)]
        colours = cv2.cvtColor(cv2.merge(planes), cv2.COLOR_YUV2BGR)
        hsv = np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2HSV), np.uint8)
        self._made.extend(hsv.reshape(self._count, _HIGH, _WIDE, 3))
        self._count = 0

    def _shrunk(self, read: npt.NDArray[Any], width: int, wide: int) -> npt.NDArray[np.uint8]:
        """Shrink what was read of one plane to (frames, rows, wide); only sideways, so all frames are one picture."""
        rows = read[: self._count].reshape(-1, read.shape[2])[:, :width]
        small: Any = cv2.resize(rows, (wide, len(rows)), interpolation=cv2.INTER_LINEAR)
        levels = np.asarray(small if self._depth == 8 else small >> (self._depth - 8), np.uint8)
        return levels.reshape(self._count, -1, wide)


def tiny_picture(frame: Any) -> Tiny:
    """Shrink one decoded frame (``av.VideoFrame``)."""
    one = TinyPictures()
    one.add(frame)
    return one.take()[0]


def _refined(coarse: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Bring colours (frames, 18, 32) to twice the size, as rows of all frames."""
    count, high, wide = coarse.shape
    if count == 1:
        return np.asarray(cv2.resize(coarse[0], TINY, interpolation=cv2.INTER_LINEAR), np.uint8)
    # Between two frames each one's last row is repeated, as at the edge of a picture: none sees its neighbour.
    padded = np.empty((count, high + 2, wide), np.uint8)
    padded[:, 1:-1], padded[:, 0], padded[:, -1] = coarse, coarse[:, 0], coarse[:, -1]
    size = (_WIDE, 2 * count * (high + 2))
    fine = cv2.resize(padded.reshape(-1, wide), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine, np.uint8).reshape(count, -1, _WIDE)[:, 2:-2].reshape(-1, _WIDE)


def _middles(height: int, count: int) -> npt.NDArray[np.intp]:
    """Return the rows in the middle of so many equal strips."""
    return ((np.arange(count) + 0.5) * height / count).astype(np.intp)
