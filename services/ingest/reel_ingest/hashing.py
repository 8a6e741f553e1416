"""Perceptual hashes of pixels; called by rendering, pictures and encoded_hashing.

The DCT hash of Zauner (2010) with the bit order of ``imagehash.phash``. The highest bit stands for the mean light
and is 1 unless the picture is nearly black; the others compare 63 frequencies with their median.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

_SIDE = 32
_MIDDLE = _SIDE // 2
_LOW = 8
_COARSE = 128
"""Pixels to which both sides of larger pixels are averaged first: quicker, and a few of the 64 bits at most."""
_SMALL = 256
"""Pixels to which both sides of what a decoder made smaller are averaged; more often it need not be."""
_ONE_THREAD = 200_000
"""Multiplications up to which OpenBLAS stays in the calling thread; waking others takes longer than the work."""

_BLACK, _WHITE = np.float32(0), np.float32(255)

Grey = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]


def phash(image: npt.NDArray[np.uint8]) -> int:
    """Return the 64-bit perceptual hash of an RGB (H, W, 3) or grey (H, W) uint8 picture."""
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    return _hash(_averaged(grey, _COARSE), 1.0, 1.0)


def phash_of_small(grey: Grey, filled_high: float = 1.0, filled_wide: float = 1.0) -> int:
    """Return the hash of a grey picture that was made smaller, and whose edge may lie within its last line and column.

    ``filled_high`` and ``filled_wide`` are the shares of its height and width that show the picture.
    """
    return _hash(_averaged(grey, _SMALL), filled_high, filled_wide)


def _averaged(grey: Grey, side: int) -> Grey:
    high, wide = grey.shape
    if max(high, wide) <= side:
        return grey
    # OpenCV averages whole pixels many times faster than parts of them.
    while min(high, wide) >= 2 * side and high % 2 == wide % 2 == 0:
        high, wide = high // 2, wide // 2
        grey = np.asarray(cv2.resize(grey, (wide, high), interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(grey, (min(wide, side), min(high, side)), interpolation=cv2.INTER_AREA))


def _hash(grey: Grey, filled_high: float, filled_wide: float) -> int:
    high, wide = grey.shape
    # Rounded after each direction as Pillow does: that brings the difference from imagehash from 0.5 bits to 0.1.
    pixels = grey.astype(np.float32)
    across = np.empty((high, _SIDE), dtype=np.float32)
    for (left, right, weights), half in zip(
        _halves(wide, wide * filled_wide), (across[:, :_MIDDLE], across[:, _MIDDLE:]), strict=True
    ):
        _multiply(pixels[:, left:right], weights, half)
    small = np.empty((_SIDE, _SIDE), dtype=np.float32)
    _multiply(_lanczos(high, high * filled_high), _rounded(across), small)
    _rounded(small)
    low = (_dct() @ small @ _dct().T).ravel()
    sorted_around = np.partition(low, (31, 32))
    middle = (sorted_around[31] + sorted_around[32]) / 2
    return int.from_bytes(np.packbits(low > middle).tobytes(), "big")


def _multiply(a: _Floats, b: _Floats, made: _Floats) -> None:
    """Multiply matrices in strips that are small enough for one thread."""
    rows = max(1, _ONE_THREAD // (a.shape[1] * b.shape[1]))
    for top in range(0, len(a), rows):
        np.matmul(a[top : top + rows], b, out=made[top : top + rows])


def _rounded(values: _Floats) -> _Floats:
    # ``np.clip`` takes longer to get ready than these to work.
    np.rint(values, out=values)
    np.maximum(values, _BLACK, out=values)
    return np.minimum(values, _WHITE, out=values)


@lru_cache(maxsize=_SMALL)
def _lanczos(count: int, length: float) -> _Floats:
    """Return the (32, count) weights that bring ``length`` pixels to 32 by Lanczos of order 3, as Pillow has them."""
    scale = length / _SIDE
    spread = max(scale, 1.0)
    weights = np.zeros((_SIDE, count))
    for place in range(_SIDE):
        centre = (place + 0.5) * scale
        first = max(0, int(centre - 3 * spread + 0.5))
        last = min(count, int(centre + 3 * spread + 0.5))
        x = (np.arange(first, last) - centre + 0.5) / spread
        taps = np.sinc(x) * np.sinc(x / 3) * (np.abs(x) < 3)
        weights[place, first:last] = taps / taps.sum()
    return weights.astype(np.float32)


@lru_cache(maxsize=_SMALL)
def _halves(count: int, length: float) -> tuple[tuple[int, int, _Floats], tuple[int, int, _Floats]]:
    """Return for the left and the right 16 of 32 pixels from where to where their weights reach, and these.

    To leave out the weights that are nought halves the time.
    """
    weights = _lanczos(count, length)
    first, last = weights[:_MIDDLE], weights[_MIDDLE:]
    end, start = int(np.flatnonzero(first.any(axis=0))[-1]) + 1, int(np.flatnonzero(last.any(axis=0))[0])
    return (0, end, np.ascontiguousarray(first[:, :end].T)), (
        start,
        count,
        np.ascontiguousarray(last[:, start:].T),
    )


@lru_cache(maxsize=1)
def _dct() -> _Floats:
    """Return the (8, 32) lowest rows of the DCT-II, not normalised."""
    frequency, place = np.arange(_LOW)[:, None], np.arange(_SIDE)[None, :]
    return (2 * np.cos(np.pi * frequency * (2 * place + 1) / (2 * _SIDE))).astype(np.float32)
