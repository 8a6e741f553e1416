"""Scene cuts found while a film is decoded, by PySceneDetect fed with tiny pictures; called by frames.

Full-size frames are read only on a coarse grid, so detection costs little beside decoding.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

TINY = (64, 36)
"""Width and height of the pictures that are compared."""

WINDOW = 2
"""Frames before and after a cut that the detector compares it with; its verdict comes so many frames late."""

_PLANAR_8_BIT = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}


class SceneCuts:
    """The cuts of one film, found as its frames are added in order.

    The scene of frame ``i`` is final once ``settled >= i``. A cut in the last two frames, or one less than
    half a second after another, is not seen: such frames stay with the scene before them, which keeps
    neighbouring pictures together.
    """

    def __init__(self, frame_rate: float) -> None:
        shortest = max(2, round(frame_rate / 2))
        self._detector = AdaptiveDetector(min_scene_len=shortest, window_width=WINDOW)
        self._last = -1
        self.cuts: list[int] = []
        """First frame of every scene but the first."""

    def add(self, picture: npt.NDArray[np.uint8]) -> None:
        """Take the next frame as a tiny BGR picture (36, 64, 3)."""
        self._last += 1
        # Frames are counted, not timed: a nominal rate keeps variable frame rates out of the detector.
        for cut in self._detector.process_frame(FrameTimecode(self._last, 24.0), picture):
            self.cuts.append(cut.frame_num)

    @property
    def settled(self) -> int:
        """Index of the last frame whose scene will not change."""
        return self._last - WINDOW

    def scene_of(self, index: int) -> int:
        return bisect_right(self.cuts, index)


def tiny_picture(frame: Any) -> npt.NDArray[np.uint8]:
    """Shrink a decoded frame (``av.VideoFrame``) to BGR (36, 64, 3) uint8.

    Two samples a side are averaged for each pixel; reading every byte of a large frame would cost more than
    half of what decoding it does, and finds the same cuts.
    """
    if frame.format.name not in _PLANAR_8_BIT:
        small = frame.reformat(*TINY, format="bgr24", interpolation="FAST_BILINEAR", threads=1)
        return np.asarray(small.to_ndarray(), dtype=np.uint8)
    planes = [_shrink(plane) for plane in frame.planes[:3]]
    return np.asarray(cv2.cvtColor(cv2.merge(planes), cv2.COLOR_YUV2BGR), dtype=np.uint8)


def _shrink(plane: Any) -> npt.NDArray[np.uint8]:
    width, height = TINY
    rows, columns = max(1, plane.height // (2 * height)), max(1, plane.width // (2 * width))
    pixels = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
    samples = np.ascontiguousarray(pixels[rows // 2 :: rows, columns // 2 :: columns])
    return np.asarray(cv2.resize(samples, TINY, interpolation=cv2.INTER_AREA), dtype=np.uint8)
