"""Poisson noise as scikit-image makes it: the very same draw, or a quick one of the same distribution.

scikit-image counts in steps of 1/n, where n is the number of levels in use rounded up to a power of two: a pixel of
level v becomes Poisson(n * v / 255) / n, and what is brighter than white is white. Called by ``transforms``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from scipy import special

# scikit-image and SciPy declare no types.
util: Any = skimage.util
pdtr: Any = special.pdtr

Bytes = NDArray[np.uint8]
"""Any shape."""

STRIP = 1 << 16
"""Values drawn at a time: what lies between two steps stays in the processor's cache, whatever the picture's size."""

_LEVELS = np.arange(256, dtype=np.uint8)
_FLOAT: NDArray[np.float64] = util.img_as_float64(_LEVELS)
_SLOT_BITS = 13
_SLOTS = 1 << _SLOT_BITS
_WORD_BITS = 16
_BITS = 55
"""Of one uniform number: 256 levels of them fit into 63 bits."""
_REST_BITS = _BITS - _SLOT_BITS
_SPLIT = 256
"""What a slot holds in which the result changes is this and the first count that changes in it; no level is so high."""


def steps_of(histogram: NDArray[np.int64]) -> int:
    """Return scikit-image's n for a picture with this histogram of its 256 levels."""
    return int(2 ** np.ceil(np.log2(np.count_nonzero(histogram))))


def exact(image: Bytes, steps: int, rng: np.random.Generator) -> Bytes:
    """Return ``random_noise(image, mode="poisson", rng=rng)`` as uint8, drawn from the same stream."""
    rates = _FLOAT * float(steps)
    levels = _levels(steps)
    flat = image.reshape(-1)
    noisy = np.empty_like(flat)
    for start in range(0, flat.size, STRIP):
        strip = slice(start, start + STRIP)
        counts = rng.poisson(np.take(rates, flat[strip], mode="clip"))
        np.take(levels, counts, mode="clip", out=noisy[strip])
    return noisy.reshape(image.shape)


def fast(image: Bytes, steps: int, rng: np.random.Generator) -> Bytes:
    """Return noise of the same distribution as ``exact``, pixel by pixel independent; deterministic by ``rng``.

    By inversion: a uniform number of 55 bits is looked up in the Poisson distribution's cumulative table of the
    pixel's level. Its first 13 bits say the result, but for the slots in which the table has a step (0.9 % of them
    at n = 256): there the other 42 bits decide. So every probability is right to 2**-52, the precision of the
    table's float64; nothing of the tails is cut above that.
    """
    table = _table(steps)
    bits = rng.bit_generator
    flat = image.reshape(-1)
    noisy = np.empty_like(flat)
    # Memory that is new for every strip takes longer to get than to fill.
    places, results = np.empty(STRIP, np.intp), np.empty(STRIP, np.uint16)
    for start in range(0, flat.size, STRIP):
        strip = flat[start : start + STRIP]
        place, found = places[: strip.size], results[: strip.size]
        # four pixels out of one word of the generator
        words = bits.random_raw(-(-strip.size // 4)).view(np.uint16)[: strip.size]
        slots = words >> (_WORD_BITS - _SLOT_BITS)
        place[:] = strip
        place <<= _SLOT_BITS
        place |= slots
        np.take(table.slots, place, mode="clip", out=found)
        noisy[start : start + STRIP] = found
        split = np.flatnonzero(found >= _SPLIT)
        rest = bits.random_raw(split.size) >> np.uint64(64 - _REST_BITS)
        uniform = (slots[split].astype(np.uint64) << np.uint64(_REST_BITS)) | rest
        noisy[start + split] = table.look_up(strip[split], found[split] - _SPLIT, uniform)
    return noisy.reshape(image.shape)


@dataclass(frozen=True)
class _Table:
    """The distributions of all 256 levels for one n; 4.7 MB at most, 0.01 s to make."""

    slots: NDArray[np.uint16]
    """(256 * 8192,): the result of every level and slot, or ``_SPLIT`` and a count."""
    bounds: NDArray[np.uint64]
    """(256 * n + 1,), ascending: level * 2**55 + P(count <= k) * 2**55 for k = 0 to n - 1; the last one is no bound."""
    levels: Bytes
    """(n + 1,): count -> level of the result."""

    def look_up(self, level: Bytes, first: NDArray[np.uint16], uniform: NDArray[np.uint64]) -> Bytes:
        """Return the result of each level for its uniform number of 55 bits, at least that of the count ``first``."""
        wanted = (level.astype(np.uint64) << np.uint64(_BITS)) | uniform
        begin = level.astype(np.intp) * (self.levels.size - 1)
        below = begin + first
        # Few slots have more than one step, those of the tails.
        below += wanted >= self.bounds[below]
        more = np.flatnonzero(wanted >= self.bounds[below])
        below[more] = np.searchsorted(self.bounds, wanted[more], side="right")
        found: Bytes = self.levels[below - begin]
        return found


@lru_cache(maxsize=9)
def _table(steps: int) -> _Table:
    """Make the table for n = ``steps``. A count of n or more is white, so only those below have a bound."""
    levels = _levels(steps)
    cumulative = pdtr(np.arange(steps)[np.newaxis, :], (_FLOAT * steps)[:, np.newaxis])
    # SciPy's last bit need not rise from count to count
    cumulative = np.maximum.accumulate(cumulative, axis=1)
    scaled = np.rint(np.ldexp(cumulative, _BITS)).astype(np.uint64)
    step_at = (scaled >> np.uint64(_REST_BITS)).astype(np.int64)
    slots = np.empty((256, _SLOTS), np.uint16)
    for level in range(256):
        edges = np.concatenate(([0], step_at[level], [_SLOTS]))
        slots[level] = np.repeat(levels, np.diff(edges))
    inside = (scaled & np.uint64((1 << _REST_BITS) - 1)) > 0  # a bound on a slot's edge divides no slot
    rows, columns = np.nonzero(inside)
    # From the last count to the first: of those in one slot the first is what stays.
    rows, columns = rows[::-1], columns[::-1]
    slots[rows, step_at[rows, columns]] = _SPLIT + columns
    bounds = (np.arange(256, dtype=np.uint64)[:, np.newaxis] << np.uint64(_BITS)) + scaled
    no_bound = np.iinfo(np.uint64).max
    return _Table(slots.reshape(-1), np.append(bounds, no_bound), levels)


def _levels(steps: int) -> Bytes:
    """So few counts exist that the way back to uint8 is a table."""
    levels: Bytes = util.img_as_ubyte(np.arange(steps + 1) / float(steps))
    return levels
