"""Pairs and groups of 64-bit hashes that differ in a few bits: exact; called by ingest, trainer and benchmarks.

By the pigeonhole principle, of two hashes within ``d`` bits at least one of ``d + 1`` bands of bits is equal. So the
hashes are sorted by one band after the other and only neighbours with an equal band are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

BITS = 64
INVERTED = (1 << 63) - 1
"""Bits of a perceptual hash that a picture's negative turns over: all but the highest, which stands for the mean
light."""
ODD_ONE = 1
"""Bits by which a negative may be further away: what was above the median comes to lie below it, and the one next to
it stays what it was."""
Codes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Pairs = tuple[Indices, Indices]

_ROWS, _COLUMNS = 256, 4096
"""Compared at once: 8 MiB of differences."""
_WIDE = 256
"""Members from which on a bucket is compared in blocks."""
_QUICK = 4
"""Places between neighbours that are linked first, before anything is compared with all."""


def distances(codes: Codes, code: int) -> npt.NDArray[np.uint8]:
    """Return in how many bits each of ``codes`` differs from ``code``."""
    return np.asarray(np.bitwise_count(codes ^ np.uint64(code)), dtype=np.uint8)


def distances_to_negatives(codes: Codes, code: int) -> npt.NDArray[np.uint8]:
    """Return how far the negative of each of ``codes`` is from ``code``, which is as far as the other way round."""
    return forgiven(distances(codes ^ np.uint64(INVERTED), code))


def forgiven(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the distances that differences from negatives amount to."""
    return bits - np.minimum(bits, np.uint8(ODD_ONE))


def near_pairs(codes: Codes, distance: int) -> Iterator[tuple[int, int]]:
    """Yield every pair of positions (i < j) within ``distance`` bits once, in no particular order.

    n equal codes have n(n - 1)/2 pairs; where only the connected sets matter use ``near_groups``.
    """
    for first, second in pair_blocks(codes, distance):
        yield from zip(first.tolist(), second.tolist(), strict=True)


def near_groups(codes: Codes, distance: int, *, negatives: bool = False) -> Indices:
    """Return for each code the first position of its connected set: linked by steps of at most ``distance`` bits, with
    ``negatives`` also to the code of a negative.

    Equal codes are one to it, and what is known to hang together is not compared again: a hundred thousand codes
    around one and the same are done in seconds.
    """
    distinct, first, back = np.unique(np.asarray(codes, np.uint64), return_index=True, return_inverse=True)
    roots = np.arange(len(distinct))
    masks = _bands(distance)
    for mask in masks:
        order = np.argsort(distinct & mask, kind="stable")
        for one, other in _neighbours(distinct, order, np.full(len(order), _QUICK), distance):
            _unite(roots, one, other)
    if _cost(distinct, masks) * 2 >= len(distinct) ** 2:
        masks = [np.uint64(0)]
    for mask in masks:
        for members in _buckets(distinct & mask):
            if (roots[members] != roots[members[0]]).any():
                _link(distinct, members, roots, distance)
    if negatives:
        _link_negatives(distinct, roots, distance + ODD_ONE)
    # the smallest position, not the smallest code, names a set
    names = np.full(len(distinct), len(codes), dtype=np.int64)
    np.minimum.at(names, roots, first)
    return np.asarray(names[roots][back.reshape(-1)], dtype=np.int64)


def pair_blocks(codes: Codes, distance: int) -> Iterator[Pairs]:
    """Yield the pairs of ``near_pairs`` as arrays; memory stays bounded however many pairs there are."""
    codes = np.ascontiguousarray(codes, dtype=np.uint64)
    masks = _bands(distance)
    if _cost(codes, masks) * 2 >= len(codes) ** 2:
        yield from _compare(codes, np.arange(len(codes)), distance)
        return
    for number, mask in enumerate(masks):
        for one, other in _within_band(codes, mask, distance):
            # a pair with several equal bands belongs to the first of them
            different = codes[one] ^ codes[other]
            mine = (different & mask) == 0
            for earlier in masks[:number]:
                mine &= (different & earlier) != 0
            if mine.any():
                yield one[mine], other[mine]


def _bands(distance: int) -> list[np.uint64]:
    """Cut 64 bits into ``distance + 1`` bands of nearly the same width; at most one band a bit."""
    if distance < 0:
        raise ValueError("a distance is counted in bits, from 0")
    count = min(distance + 1, BITS)
    edges = [BITS * number // count for number in range(count + 1)]
    masks = [((1 << high) - (1 << low)) for low, high in pairwise(edges)]
    # beyond 63 bits everything is near: one band of no bits at all
    return [np.uint64(mask) for mask in masks] if distance < BITS else [np.uint64(0)]


def _cost(codes: Codes, masks: list[np.uint64]) -> int:
    """Count the comparisons that the bands would take."""
    total = 0
    for mask in masks:
        sizes = np.unique(codes & mask, return_counts=True)[1].astype(np.int64)
        total += int((sizes * (sizes - 1) // 2).sum())
    return total


def _buckets(keys: Codes) -> list[Indices]:
    """Return the positions of each set of equal keys that has more than one."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    return [bucket for bucket in np.split(order, ends) if len(bucket) > 1]


def _within_band(codes: Codes, mask: np.uint64, distance: int) -> Iterator[Pairs]:
    """Yield near pairs with an equal band, and some without."""
    buckets = _buckets(codes & mask)
    for members in buckets:
        if len(members) > _WIDE:
            yield from _compare(codes[members], members, distance)
    narrow = [members for members in buckets if len(members) <= _WIDE]
    if narrow:
        sizes = np.array([len(members) for members in narrow])
        yield from _neighbours(codes, np.concatenate(narrow), np.repeat(sizes, sizes), distance)


def _neighbours(codes: Codes, order: Indices, sizes: Indices, distance: int) -> Iterator[Pairs]:
    """Compare each code with the one ``step`` places further on, for all steps within its bucket."""
    step = 1
    largest = int(sizes.max(initial=0))
    while step < largest:
        keep = sizes > step
        order, sizes = order[keep], sizes[keep]
        row = codes[order]
        for shift in range(step, min(2 * step, largest)):
            near = np.flatnonzero(np.bitwise_count(row[:-shift] ^ row[shift:]) <= distance)
            if len(near):
                yield _ordered(order[near], order[near + shift])
        step *= 2


def _compare(codes: Codes, names: Indices, distance: int) -> Iterator[Pairs]:
    """Compare all with all, a block at a time."""
    for top in range(0, len(codes), _ROWS):
        for left in range(top, len(codes), _COLUMNS):
            one, other = _near(codes[top : top + _ROWS], codes[left : left + _COLUMNS], distance)
            later = one + top < other + left
            if later.any():
                yield _ordered(names[one[later] + top], names[other[later] + left])


def _link(codes: Codes, members: Indices, roots: Indices, distance: int) -> None:
    """Unite the sets of all near pairs among the members; those of one set are not compared with each other."""
    members = members[np.argsort(roots[members], kind="stable")]
    sets = roots[members]
    for top in range(0, len(members), _ROWS):
        rows = members[top : top + _ROWS]
        of_one = sets[top] == sets[top + len(rows) - 1]
        start = int(np.searchsorted(sets, sets[top], side="right")) if of_one else top
        for left in range(start, len(members), _COLUMNS):
            columns = members[left : left + _COLUMNS]
            one, other = _near(codes[rows], codes[columns], distance)
            _unite(roots, rows[one], columns[other])


def _link_negatives(codes: Codes, roots: Indices, reach: int) -> None:
    """Unite the sets of codes that differ in at most ``reach`` bits from each other's negatives."""
    count = len(codes)
    both = np.concatenate([codes, codes ^ np.uint64(INVERTED)])
    masks = _bands(reach)
    for mask in masks:
        # codes and negatives mixed: a crowd meets the crowd of its negatives here, before anything is compared with all
        order = np.lexsort((both, both & mask))
        for one, other in _neighbours(both, order, np.full(len(order), _QUICK), reach):
            across = (one < count) & (other >= count)
            _unite(roots, one[across], other[across] - count)
    if _cost(both, masks) * 2 >= len(both) ** 2:
        masks = [np.uint64(0)]
    for mask in masks:
        for members in _buckets(both & mask):
            plain, turned = members[members < count], members[members >= count] - count
            if len(plain) and len(turned) and len(np.unique(roots[members % count])) > 1:
                _link_across(codes, plain, turned, roots, reach)


def _link_across(codes: Codes, plain: Indices, turned: Indices, roots: Indices, reach: int) -> None:
    """Unite the sets of codes ``plain`` near the negatives of ``turned``; one set is not compared with itself."""
    plain = plain[np.argsort(roots[plain], kind="stable")]
    for top in range(0, len(plain), _ROWS):
        rows = plain[top : top + _ROWS]
        sets, columns = roots[rows], turned
        if (sets == sets[0]).all():
            columns = turned[roots[turned] != sets[0]]
        for left in range(0, len(columns), _COLUMNS):
            part = columns[left : left + _COLUMNS]
            one, other = _near(codes[rows], codes[part] ^ np.uint64(INVERTED), reach)
            _unite(roots, rows[one], part[other])


def _near(rows: Codes, columns: Codes, distance: int) -> Pairs:
    one, other = np.nonzero(np.bitwise_count(rows[:, None] ^ columns[None, :]) <= distance)
    return one, other


def _ordered(one: Indices, other: Indices) -> Pairs:
    return np.minimum(one, other), np.maximum(one, other)


def _unite(roots: Indices, one: Indices, other: Indices) -> None:
    """Join the sets of each pair; afterwards every entry points at its root again."""
    left, right = roots[one], roots[other]
    apart = left != right
    if not apart.any():
        return
    for key in np.unique(left[apart] * len(roots) + right[apart]).tolist():
        low, high = sorted((_root(roots, key // len(roots)), _root(roots, key % len(roots))))
        roots[high] = low
    while not np.array_equal(further := roots[roots], roots):
        roots[:] = further


def _root(roots: Indices, at: int) -> int:
    while (above := int(roots[at])) != at:
        at = above
    return at
