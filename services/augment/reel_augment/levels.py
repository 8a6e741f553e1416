"""What the variants need to know of a picture's levels: histogram, percentiles, contrast; called by ``transforms``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

# scikit-image declares no types.
exposure: Any = skimage.exposure

Picture = NDArray[np.uint8]
"""(H, W, 3), RGB."""
Counts = NDArray[np.int64]
"""(256,): how many values lie on each level."""
Change = Callable[[Picture], Picture]
"""Of each pixel for itself; gets contiguous rows."""

STRIP_PIXELS = 1 << 16
"""Pixels turned to floats at a time: 1.5 MB, whatever the picture's size."""

_BAR = 25.5
"""``is_low_contrast``'s bar in levels: a twentieth of a float picture's range from -1 to 1."""
_STRAY = 3.2
"""The rough luma strays from scikit-image's by less than 1.6 levels, so a range of it by less than twice that."""
_LUMA = np.array([0.2125, 0.7154, 0.0721])
"""Weights of red, green and blue in ``skimage.color.rgb2gray``."""
_SAMPLES = (16, 4)
"""Of so many rows one is looked at first, and of so many next."""


def histogram(image: Picture) -> Counts:
    """Return how many values lie on each of the 256 levels, all channels together."""
    counts = np.zeros(256, np.int64)
    for rows in row_strips(image):
        # As a grey picture of three times the width: one histogram in place of three.
        counts += np.array(Image.fromarray(image[rows].reshape(-1, image.shape[1] * 3)).histogram())
    return counts


def gray(image: Picture) -> NDArray[np.uint8]:
    """Return ``img_as_ubyte(rgb2gray(image))``, (H, W): its very steps, without its copies and looks at the range."""
    made = np.empty(image.shape[:2], np.uint8)
    for rows in row_strips(image):
        luma = np.multiply(image[rows], 1 / 255) @ _LUMA
        luma *= 255
        made[rows] = np.rint(luma, out=luma)
    return made


def percentile(counts: Counts, percent: float) -> float:
    """Return ``np.percentile(values, percent)``, its linear method, from the histogram of the values.

    The two orders of adding are numpy's own: from the nearer neighbour, so that the last bit agrees too.
    """
    cumulative = np.cumsum(counts)
    last = int(cumulative[-1]) - 1
    position = last * (percent / 100)
    below = int(position)
    fraction = position - below
    a, b = (int(np.searchsorted(cumulative, rank, side="right")) for rank in (below, min(below + 1, last)))
    return b - (b - a) * (1 - fraction) if fraction >= 0.5 else a + (b - a) * fraction


def is_low_contrast(image: Picture, change: Change = np.asarray) -> bool:
    """Return ``skimage.exposure.is_low_contrast`` of what ``change`` makes of the picture, pixel by pixel.

    scikit-image itself is asked only where a rough look cannot tell.
    """
    if any(_sample_has_contrast(image[::step], image.shape[0] * image.shape[1], change) for step in _SAMPLES):
        return False
    rough = _rough_luma(image, change)
    spread = percentile(rough, 99) - percentile(rough, 1)
    if abs(spread - _BAR) > _STRAY:
        return spread < _BAR
    return bool(exposure.is_low_contrast(_luma(image, change)))


def row_strips(image: Picture) -> list[slice]:
    """Cut a picture into runs of whole rows, each of about ``STRIP_PIXELS``."""
    height, width = image.shape[:2]
    step = max(1, STRIP_PIXELS // width)
    return [slice(start, min(start + step, height)) for start in range(0, height, step)]


def _luma(image: Picture, change: Change) -> NDArray[np.float64]:
    """Return ``skimage.color.rgb2gray``, (H, W) in 0 to 1, without a copy of the whole picture in floats."""
    gray = np.empty(image.shape[:2], np.float64)
    for rows in row_strips(image):
        gray[rows] = skimage.color.rgb2gray(change(image[rows]))
    return gray


def _sample_has_contrast(sample: Picture, pixels: int, change: Change) -> bool:
    """Whether some rows prove that the whole, of so many pixels, has contrast.

    As many of the sample's darkest pixels as make up a hundredth of the whole bound the whole's percentile 1 from
    above, and likewise its percentile 99 from below.
    """
    cumulative = np.cumsum(_rough_luma(sample, change))
    hundredth = (pixels - 1) // 100 + 2
    if hundredth > cumulative[-1]:
        return False
    dark = int(np.searchsorted(cumulative, hundredth, side="left"))
    light = int(np.searchsorted(cumulative, cumulative[-1] - hundredth, side="right"))
    return light - dark > _BAR + _STRAY


def _rough_luma(image: Picture, change: Change) -> Counts:
    """Return the histogram of a luma with weights in 1/256."""
    counts = np.zeros(256, np.int64)
    for rows in row_strips(image):
        changed = change(np.ascontiguousarray(image[rows]))
        red, green, blue = (changed[:, :, channel] for channel in range(3))
        rough = (red * np.uint16(54) + green * np.uint16(183) + blue * np.uint16(19)) >> 8
        counts += np.bincount(rough.reshape(-1), minlength=256)
    return counts
