"""The six scikit-image variants of a picture, pixel for pixel, at the speed of lookup tables.

Called by the augment worker for every web picture; arrays in, arrays out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import skimage
from numpy.typing import NDArray

from reel_augment import levels, poisson
from reel_augment.levels import Picture
from reel_shared.contracts import Variant
from reel_shared.errors import BadPicture

# scikit-image declares no types.
exposure: Any = skimage.exposure

Noise = Literal["exact", "fast"]
Table = NDArray[np.uint8]
Pairs = NDArray[np.uint16]

KINDS = tuple(kind for kind in Variant if kind is not Variant.ORIGINAL)
"""In the order in which they are made."""
IN_PERCENTILES = (0.2, 99.8)
"""What the intensity variant stretches to the full range."""

_OF_CONTRAST = frozenset({Variant.GRAYSCALE, Variant.INVERT, Variant.NOISE})
_LEVELS = np.arange(256, dtype=np.uint8)
_STRIP = 1 << 15


def _pairs(table: Table) -> Pairs:
    """Make a table of 256 levels into one of 65,536 pairs of levels: half as many look-ups."""
    values = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
    return np.take(table, values).view(np.uint16)


# Every operation on single levels is its own table of 256 answers, asked of scikit-image once.
_LOG = _pairs(exposure.adjust_log(_LEVELS))
_SIGMOID = _pairs(exposure.adjust_sigmoid(_LEVELS))


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


def make_variants(
    image: Picture, *, seed: int, noise: Noise = "exact", kinds: Collection[Variant] = KINDS
) -> Variants:
    """Return the variants of an RGB picture (H, W, 3), each an array of the same shape.

    Grayscale, invert and noise need a source with contrast; log and sigmoid are dropped when their result has
    none; intensity is always made, and for a source of low contrast its inverse too. The grayscale's three channels
    are one in memory, and read-only. Contrast is judged by
    ``skimage.exposure.is_low_contrast`` with its defaults. Each array equals what scikit-image returns, as
    uint8 by ``img_as_ubyte``; ``noise`` equals ``random_noise(image, mode="poisson", rng=seed)``, or when it is to
    be fast is drawn from the same distribution (see ``reel_augment.poisson``).

    Raises:
        BadPicture: not a non-empty (H, W, 3) array of uint8.
    """
    source = Original(image)
    images = dict(source.variants(kinds, seed=seed, noise=noise))
    skipped = (source.impossible - {Variant.INTENSITY_INVERT}) & set(kinds)
    return Variants(images, frozenset(skipped))


class Original:
    """A picture of which variants are made one after the other, so that only one lies in memory at a time."""

    def __init__(self, image: Picture) -> None:
        """Raises BadPicture, see ``make_variants``."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise BadPicture(
                f"Variants need an RGB picture of 8 bits; got {image.dtype} of shape {image.shape}."
            )
        self.image = np.ascontiguousarray(image)

    def variants(
        self, kinds: Collection[Variant], *, seed: int, noise: Noise
    ) -> Iterator[tuple[Variant, Picture]]:
        """Yield those of ``kinds`` that the picture can have, in the order of ``KINDS``."""
        makers: dict[Variant, Callable[[], Picture]] = {
            Variant.GRAYSCALE: self._grayscale,
            Variant.INVERT: lambda: np.invert(self.image),
            Variant.NOISE: lambda: self._noisy(seed, noise),
            Variant.INTENSITY: self._stretched,
            Variant.INTENSITY_INVERT: lambda: np.invert(self._stretched()),
            Variant.LOG: lambda: _looked_up(self.image, _LOG),
            Variant.SIGMOID: lambda: _looked_up(self.image, _SIGMOID),
        }
        for kind in KINDS:
            if kind in kinds and kind not in self.impossible:
                yield kind, makers[kind]()

    @cached_property
    def impossible(self) -> frozenset[Variant]:
        """Kinds that this picture has not, whatever is asked for: by its own contrast, and that of the results."""
        low = levels.is_low_contrast(self.image)
        found = set(_OF_CONTRAST) if low else {Variant.INTENSITY_INVERT}
        for kind, table in ((Variant.LOG, _LOG), (Variant.SIGMOID, _SIGMOID)):
            if levels.is_low_contrast(self.image, partial(_looked_up, table=table)):
                found.add(kind)
        return frozenset(found)

    @cached_property
    def _histogram(self) -> levels.Counts:
        return levels.histogram(self.image)

    def _grayscale(self) -> Picture:
        gray = levels.gray(self.image)
        return np.broadcast_to(gray[:, :, np.newaxis], self.image.shape)

    def _stretched(self) -> Picture:
        low, high = (levels.percentile(self._histogram, percent) for percent in IN_PERCENTILES)
        table: Table = exposure.rescale_intensity(_LEVELS, in_range=(low, high))
        return _looked_up(self.image, _pairs(table))

    def _noisy(self, seed: int, how: Noise) -> Picture:
        draw = poisson.fast if how == "fast" else poisson.exact
        return draw(self.image, poisson.steps_of(self._histogram), np.random.default_rng(seed))


def _looked_up(image: Picture, table: Pairs) -> Picture:
    """Return ``table`` of every value; ``image`` is contiguous."""
    result = np.empty_like(image)
    values, found = image.reshape(-1), result.reshape(-1)
    even = values.size & ~1
    pairs, pairs_found = values[:even].view(np.uint16), found[:even].view(np.uint16)
    for start in range(0, pairs.size, _STRIP):
        strip = slice(start, start + _STRIP)
        np.take(table, pairs[strip], mode="clip", out=pairs_found[strip])
    found[even:] = table.view(np.uint8)[values[even:].astype(np.intp) * 2]
    return result
