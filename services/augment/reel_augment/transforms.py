"""The six scikit-image variants of a picture, pixel for pixel, at the speed of lookup tables.

Called by the augment worker for every web picture; arrays in, arrays out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray

from reel_shared.contracts import Variant
from reel_shared.errors import BadPicture

# scikit-image declares no types.
exposure: Any = skimage.exposure
util: Any = skimage.util

Picture = NDArray[np.uint8]
"""(H, W, 3), RGB."""

IN_PERCENTILES = (0.2, 99.8)
"""What the intensity variant stretches to the full range."""

_LEVELS = np.arange(256, dtype=np.uint8)
# Every operation on single levels is its own table of 256 answers, asked of scikit-image once.
_INVERT: Picture = np.invert(_LEVELS)
_LOG: Picture = exposure.adjust_log(_LEVELS)
_SIGMOID: Picture = exposure.adjust_sigmoid(_LEVELS)
_FLOAT: NDArray[np.float64] = util.img_as_float64(_LEVELS)

_STRIP = 1 << 20
"""Values drawn at a time: the noise of a 40-megapixel picture would else hold 2 GB of floats and counts."""


@dataclass(frozen=True)
class Variants:
    """What was made of one picture. ``images`` and ``skipped`` share no kind."""

    images: dict[Variant, Picture]
    skipped: frozenset[Variant]
    """Kinds left out because the picture, or what became of it, has too little contrast."""


def variant_seed(sha256: str, seed: int) -> int:
    """Return the noise seed of one picture in one job: its content hash mixed with the job's seed.

    So neither the order of the pictures nor their number matters. 63 bits: a database's integers are signed.
    """
    digest = hashlib.sha256(f"{sha256}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_variants(image: Picture, *, seed: int) -> Variants:
    """Return the variants of an RGB picture (H, W, 3), each a new array of the same shape.

    Grayscale, invert and noise need a source with contrast; log and sigmoid are dropped when their result has
    none; intensity is always made, and for a source of low contrast its inverse too. Contrast is judged by
    ``skimage.exposure.is_low_contrast`` with its defaults. Each array equals what scikit-image returns, as
    uint8 by ``img_as_ubyte``; ``noise`` equals ``random_noise(image, mode="poisson", rng=seed)``.

    Raises:
        BadPicture: not a non-empty (H, W, 3) array of uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise BadPicture(f"Variants need an RGB picture of 8 bits; got {image.dtype} of shape {image.shape}.")
    image = np.ascontiguousarray(image)
    histogram = _histogram(image)
    images: dict[Variant, Picture] = {}
    skipped: set[Variant] = set()
    intensity = _stretched(image, histogram)
    if _is_low_contrast(image):
        skipped |= {Variant.GRAYSCALE, Variant.INVERT, Variant.NOISE}
        images[Variant.INTENSITY] = intensity
        images[Variant.INTENSITY_INVERT] = np.take(_INVERT, intensity)
    else:
        images[Variant.GRAYSCALE] = _grayscale(image)
        images[Variant.INVERT] = np.take(_INVERT, image)
        images[Variant.NOISE] = _poisson(image, histogram, np.random.default_rng(seed))
        images[Variant.INTENSITY] = intensity
    for kind, table in ((Variant.LOG, _LOG), (Variant.SIGMOID, _SIGMOID)):
        result = np.take(table, image)
        if _is_low_contrast(result):
            skipped.add(kind)
        else:
            images[kind] = result
    return Variants(images, frozenset(skipped))


def _histogram(image: Picture) -> NDArray[np.int64]:
    """Return how many values lie on each of the 256 levels, all channels together."""
    flat = image.reshape(-1)
    counts = np.zeros(256, np.int64)
    for start in range(0, flat.size, _STRIP):  # bincount copies its input to eight bytes a value
        counts += np.bincount(flat[start : start + _STRIP], minlength=256)
    return counts


def _is_low_contrast(image: Picture) -> bool:
    """Return ``skimage.exposure.is_low_contrast(image)``, asking it only where a rough look cannot tell.

    The rough luma, weights in 1/256, strays from scikit-image's by less than 1.6 levels, so a range of it by
    less than 3.2; the bar, a twentieth of a float picture's -1 to 1, lies at 25.5 levels.
    """
    red, green, blue = (image[:, :, channel] for channel in range(3))
    luma = (red * np.uint16(54) + green * np.uint16(183) + blue * np.uint16(19)) >> 8
    histogram = np.bincount(luma.reshape(-1), minlength=256)
    spread = _percentile(histogram, 99) - _percentile(histogram, 1)
    if abs(spread - 25.5) > 3.2:
        return spread < 25.5
    return bool(exposure.is_low_contrast(image))


def _grayscale(image: Picture) -> Picture:
    gray: Picture = util.img_as_ubyte(skimage.color.rgb2gray(image))
    return np.repeat(gray[:, :, np.newaxis], 3, axis=2)


def _stretched(image: Picture, histogram: NDArray[np.int64]) -> Picture:
    low, high = (_percentile(histogram, percent) for percent in IN_PERCENTILES)
    table: Picture = exposure.rescale_intensity(_LEVELS, in_range=(low, high))
    return np.take(table, image)


def _percentile(histogram: NDArray[np.int64], percent: float) -> float:
    """Return ``np.percentile(values, percent)``, its linear method, from the histogram of the values.

    The two orders of adding are numpy's own: from the nearer neighbour, so that the last bit agrees too.
    """
    cumulative = np.cumsum(histogram)
    position = (int(cumulative[-1]) - 1) * (percent / 100)
    below = int(position)
    fraction = position - below
    last = int(cumulative[-1]) - 1
    a, b = (int(np.searchsorted(cumulative, rank, side="right")) for rank in (below, min(below + 1, last)))
    return b - (b - a) * (1 - fraction) if fraction >= 0.5 else a + (b - a) * fraction


def _poisson(image: Picture, histogram: NDArray[np.int64], rng: np.random.Generator) -> Picture:
    """Return ``random_noise(image, mode="poisson")`` as uint8, drawn from the same stream in the same order.

    scikit-image counts in steps of 1/n, n being the number of levels in use rounded up to a power of two; so
    few counts exist that the way back to uint8 is a table.
    """
    steps = int(2 ** np.ceil(np.log2(np.count_nonzero(histogram))))
    rates = _FLOAT * float(steps)
    levels: Picture = util.img_as_ubyte(np.arange(steps + 1) / float(steps))
    flat = image.reshape(-1)
    noisy = np.empty_like(flat)
    for start in range(0, flat.size, _STRIP):
        strip = slice(start, start + _STRIP)
        counts = rng.poisson(np.take(rates, flat[strip]))
        noisy[strip] = np.take(levels, counts, mode="clip")  # brighter than white is white
    return noisy.reshape(image.shape)
