"""Perceptual hashes of pixels, of encoded pictures and of many files; called by frames, pictures and benchmarks.

The DCT hash of Zauner (2010) with the bit order of ``imagehash.phash``. The highest bit stands for the mean light
and is 1 unless the picture is nearly black; the others compare 63 frequencies with their median.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from reel_ingest.lookahead import in_order
from reel_shared import errors
from reel_shared.images import MAX_PIXELS, is_turned, open_picture

HIGHEST_DIFFERENCE = 4
"""Bits by which the hash of a JPEG may differ from that of its decoded pixels."""

_SIDE = 32
_LOW = 8
_COARSE = 128
"""Pixels to which both sides of larger pixels are averaged first: quicker, and a few of the 64 bits at most."""
_LEAST = 60
"""Pixels that the shorter side keeps when a JPEG is decoded smaller; with fewer more bits move."""
_LONGEST = 256
_ONE_THREAD = 200_000
"""Multiplications up to which OpenBLAS stays in the calling thread; waking others takes longer than the work."""

_BLACK, _WHITE = np.float32(0), np.float32(255)

Grey = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]


def phash(image: npt.NDArray[np.uint8]) -> int:
    """Return the 64-bit perceptual hash of an RGB (H, W, 3) or grey (H, W) uint8 picture."""
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    return _hash(_averaged(grey, _COARSE), 1.0, 1.0)


def phash_encoded(data: bytes) -> int:
    """Return the hash of an encoded picture; a JPEG is decoded at a half, a quarter or an eighth of its size.

    At most ``HIGHEST_DIFFERENCE`` bits from ``phash`` of the pixels. Raises ``BadPicture`` or ``TooLarge``.
    """
    if data.startswith(b"\xff\xd8\xff") and not is_turned(data):
        try:
            return _phash_jpeg(data)
        except ValueError:
            pass  # CMYK, damaged or too large: the way below decodes the first and says what is wrong of the others
    return phash(np.asarray(open_picture(data)))


def phash_files(paths: Iterable[Path], *, threads: int = 1) -> Iterator[tuple[Path, int | None]]:
    """Yield each file with its hash, or with None where it is no picture, in order; memory stays flat."""

    def one(path: Path) -> int | None:
        try:
            return phash_encoded(path.read_bytes())
        except (errors.BadPicture, errors.TooLarge):
            return None

    if threads == 1:  # handing each file to one other thread would cost a sixth of the work
        yield from ((path, one(path)) for path in paths)
        return
    with closing(in_order(paths, one, lanes=threads)) as hashed:
        yield from hashed


def _phash_jpeg(data: bytes) -> int:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    if height * width > MAX_PIXELS:
        raise ValueError("too many pixels")
    parts = 1
    while parts < 8 and min(height, width) >= 2 * parts * _LEAST:
        parts *= 2
    # The quick DCT moves up to 18 bits.
    grey = simplejpeg.decode_jpeg(
        data, "GRAY", fastdct=False, min_height=-(-height // parts), min_width=-(-width // parts)
    )[..., 0]
    high, wide = grey.shape
    # A part of the last line or column lies outside the picture; to count it would stretch the picture.
    return _hash(_averaged(grey, _LONGEST), height / parts / high, width / parts / wide)


def _averaged(grey: Grey, side: int) -> Grey:
    high, wide = grey.shape
    if high <= side and wide <= side:
        return grey
    # OpenCV averages whole pixels many times faster than parts of them.
    while min(high, wide) >= 2 * side and high % 2 == wide % 2 == 0:
        high, wide = high // 2, wide // 2
        grey = np.asarray(cv2.resize(grey, (wide, high), interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(grey, (min(wide, side), min(high, side)), interpolation=cv2.INTER_AREA))


def _hash(grey: Grey, filled_high: float, filled_wide: float) -> int:
    """Hash a grey picture of which the last line and column may be filled in part only."""
    high, wide = grey.shape
    # Rounded after each direction as Pillow does: that brings the difference from imagehash from 0.5 bits to 0.1.
    across = _rounded(_product(grey.astype(np.float32), _lanczos(wide, wide * filled_wide).T))
    small = _rounded(_product(_lanczos(high, high * filled_high), across))
    low = (_dct() @ small @ _dct().T).ravel()
    sorted_around = np.partition(low, (31, 32))
    middle = (sorted_around[31] + sorted_around[32]) / 2
    return int.from_bytes(np.packbits(low > middle).tobytes(), "big")


def _product(a: _Floats, b: _Floats) -> _Floats:
    """Multiply matrices in strips that are small enough for one thread."""
    rows = max(1, _ONE_THREAD // (a.shape[1] * b.shape[1]))
    if rows >= len(a):
        return a @ b
    made = np.empty((len(a), b.shape[1]), dtype=np.float32)
    for top in range(0, len(a), rows):
        np.matmul(a[top : top + rows], b, out=made[top : top + rows])
    return made


def _rounded(values: _Floats) -> _Floats:
    # ``np.clip`` takes longer to get ready than these to work.
    np.rint(values, out=values)
    np.maximum(values, _BLACK, out=values)
    return np.minimum(values, _WHITE, out=values)


@lru_cache(maxsize=512)
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


@lru_cache(maxsize=1)
def _dct() -> _Floats:
    """Return the (8, 32) lowest rows of the DCT-II, not normalised."""
    frequency, place = np.arange(_LOW)[:, None], np.arange(_SIDE)[None, :]
    return (2 * np.cos(np.pi * frequency * (2 * place + 1) / (2 * _SIDE))).astype(np.float32)
