"""Perceptual hashes and the index that finds near duplicates; called by frames, pictures and the tasks."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE = 32
_LOW = 8


def phash(image: npt.NDArray[np.uint8]) -> int:
    """Return the 64-bit perceptual hash of an RGB (H, W, 3) or grey (H, W) uint8 picture.

    The DCT hash of Zauner (2010) with the bit order of ``imagehash.phash``; large pictures are averaged down
    before the Lanczos step, which moves a few of the 64 bits at most.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    # Averaging to four samples a side first is much quicker than Lanczos over the whole picture.
    coarse = (min(width, 4 * _SIDE), min(height, 4 * _SIDE))
    if coarse != (width, height):
        grey = cv2.resize(grey, coarse, interpolation=cv2.INTER_AREA)
    small = Image.fromarray(np.ascontiguousarray(grey)).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    low = cv2.dct(np.asarray(small, dtype=np.float32))[:_LOW, :_LOW]
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def distance(a: int, b: int) -> int:
    """Return in how many of their 64 bits two hashes differ."""
    return (a ^ b).bit_count()


class NearDuplicates:
    """Hashes with ids, searched exactly by Hamming distance.

    One search compares with every hash at once (numpy popcount): 0.1 ms among 50,000, less than decoding
    a picture, so no cleverer index is needed for one job.
    """

    def __init__(self, known: Iterable[tuple[str, int]] = ()) -> None:
        self._ids: list[str] = []
        self._hashes = np.empty(1024, dtype=np.uint64)
        for identity, value in known:
            self.add(identity, value)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, identity: str, value: int) -> None:
        count = len(self._ids)
        if count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        self._hashes[count] = value
        self._ids.append(identity)

    def find(self, value: int, within: int) -> str | None:
        """Return the id of the nearest hash at most ``within`` bits away, the earliest of equals, or None."""
        if not self._ids:
            return None
        bits = np.bitwise_count(self._hashes[: len(self._ids)] ^ np.uint64(value))
        nearest = int(bits.argmin())
        return self._ids[nearest] if bits[nearest] <= within else None
