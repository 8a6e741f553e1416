"""Hashes of a picture as it lies in its file, when nothing else of it is wanted; called by copies.

A JPEG is decoded in grey and no larger than hashing needs, in a quarter of the time of decoding it whole. Where bars
show in that they are measured on all of its pixels; those of less than two pixels in it are not seen.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

from reel_ingest.bars import inner_edges
from reel_ingest.hashing import Grey, phash, phash_of_small
from reel_shared.images import MAX_PIXELS, is_turned, open_picture

_LEAST = 50
"""Pixels that the shorter side keeps when a JPEG is decoded smaller; with fewer, more bits move."""


class Hashed(NamedTuple):
    """What a picture is compared by."""

    phash: int
    """Of what is inside its bars, where it has bars."""
    phash_with_bars: int | None
    """Of the whole picture, where it has bars."""
    width: int
    height: int
    inside: float
    """Share of its pixels that is inside its bars."""


def hashes_encoded(data: bytes) -> Hashed:
    """Return the hashes of an encoded picture, as ``pictures.hashes`` does of its pixels but for a few bits.

    Raises ``BadPicture`` or ``TooLarge``.
    """
    if data.startswith(b"\xff\xd8\xff") and not is_turned(data):
        try:
            return _of_jpeg(data)
        except ValueError:
            pass  # CMYK, damaged or too large: the way below decodes the first and says what is wrong of the others
    return _of_pixels(np.asarray(cv2.cvtColor(np.asarray(open_picture(data)), cv2.COLOR_RGB2GRAY), np.uint8))


def _of_jpeg(data: bytes) -> Hashed:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    if height * width > MAX_PIXELS:
        raise ValueError("too many pixels")
    parts = 1
    while parts < 8 and min(height, width) >= 2 * parts * _LEAST:
        parts *= 2
    grey = _decoded(data, -(-height // parts), -(-width // parts))
    if inner_edges(grey) is not None:
        # Where a bar ends can be told to a pixel only; a part of one more or less moves up to 8 bits.
        return _of_pixels(grey if parts == 1 else _decoded(data, height, width))
    # A part of the last line or column lies outside the picture; to count it would stretch the picture.
    hashed = phash_of_small(grey, height / parts / grey.shape[0], width / parts / grey.shape[1])
    return Hashed(hashed, None, width, height, 1.0)


def _decoded(jpeg: bytes, high: int, wide: int) -> Grey:
    # The quick DCT moves up to 18 bits.
    grey = simplejpeg.decode_jpeg(jpeg, "GRAY", fastdct=False, min_height=high, min_width=wide)
    return np.asarray(grey, np.uint8)[..., 0]


def _of_pixels(grey: Grey) -> Hashed:
    height, width = grey.shape
    edges = inner_edges(grey)
    if edges is None:
        return Hashed(phash(grey), None, width, height, 1.0)
    top, bottom, left, right = edges
    inside = grey[top:bottom, left:right]
    return Hashed(phash(inside), phash(grey), width, height, inside.size / grey.size)
