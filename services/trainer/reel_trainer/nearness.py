"""Nearest neighbours by hash and in time, and connected groups, for the certificate alone; called by ``leaks``.

Brute force over all pairs by numpy's popcount, and on purpose another way than the split's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

ROWS, COLUMNS = 64, 4096
"""Pairs compared at a time: few enough for the processor's cache."""
EDGES = 1_000_000
"""Links kept before they are merged into groups."""


class Nearest(NamedTuple):
    """For each held-out code the position and distance of the nearest training code, and of the nearest negative;
    empty lists without training codes. Pairs within the distance are counted for both."""

    plain: list[tuple[int, int]]
    inverted: list[tuple[int, int]]
    pairs: int
    inverted_pairs: int


def across(train: Codes, held: Codes, distance: int) -> Nearest:
    """Compare every held-out code with every training code: 10,000 with 50,000 in about a second."""
    if not len(train) or not len(held):
        return Nearest([], [], 0, 0)
    best, worst = np.full(len(held), 65, np.uint8), np.zeros(len(held), np.uint8)
    best_at, worst_at = np.zeros(len(held), np.intp), np.zeros(len(held), np.intp)
    pairs = inverted_pairs = 0
    for top, left, bits in _blocks(held, train):
        rows = slice(top, top + len(bits))
        least, most = bits.min(axis=1), bits.max(axis=1)
        # where nothing comes nearer than before, as in most blocks, there is no position to look for
        for better, at, part, target, position in (
            (least < best[rows], bits.argmin, least, best, best_at),
            ((most > worst[rows]) | (left == 0), bits.argmax, most, worst, worst_at),
        ):
            if better.any():
                where = np.nonzero(better)[0]
                target[top + where] = part[where]
                position[top + where] = left + at(axis=1)[where]
        if least.min() <= distance:
            pairs += int((bits <= distance).sum())
        if most.max() >= 64 - distance:
            inverted_pairs += int((bits >= 64 - distance).sum())
    return Nearest(
        list(zip(best_at.tolist(), best.tolist(), strict=True)),
        list(zip(worst_at.tolist(), (64 - worst).tolist(), strict=True)),
        pairs,
        inverted_pairs,
    )


def nearest_times(
    train: Sequence[tuple[str, float] | None], held: Sequence[tuple[str, float] | None]
) -> list[tuple[int, float] | None]:
    """Return for each held-out (film, seconds) the position and distance of the nearest of training in its film."""
    films: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for index, moment in enumerate(train):
        if moment is not None:
            films[moment[0]].append((moment[1], index))
    found: list[tuple[int, float] | None] = []
    ordered = {film: sorted(moments) for film, moments in films.items()}
    times = {film: np.array([seconds for seconds, _ in moments]) for film, moments in ordered.items()}
    for moment in held:
        if moment is None or moment[0] not in times:
            found.append(None)
            continue
        film, seconds = moment
        after = int(times[film].searchsorted(seconds))
        near = ordered[film][max(0, after - 1) : after + 1]
        apart, index = min((abs(seconds - other), index) for other, index in near)
        found.append((index, apart))
    return found


def components(
    facts: Sequence[Sequence[str | None]], codes: Codes, distance: int, *, inverted: bool
) -> Indices:
    """Return a label for each picture, equal where they are linked by an equal fact of the same kind, by codes within
    ``distance``, or by such codes of negatives."""
    count = len(facts)
    first: dict[tuple[int, str], int] = {}
    linked = [
        (first.setdefault((kind, value), index), index)
        for index, values in enumerate(facts)
        for kind, value in enumerate(values)
        if value is not None
    ]
    ones = [np.array([one for one, _ in linked], dtype=np.intp)]
    others = [np.array([other for _, other in linked], dtype=np.intp)]
    waiting = 0
    for top, left, bits in _blocks(codes, codes):
        if left + bits.shape[1] <= top:
            continue
        near = bits <= distance
        if inverted:
            near |= bits >= 64 - distance
        row, column = np.nonzero(near)
        ones.append(top + row)
        others.append(left + column)
        waiting += len(row)
        if waiting > EDGES:
            labels = _merge(count, np.concatenate(ones), np.concatenate(others))
            ones, others, waiting = [np.arange(count)], [labels], 0
    return _merge(count, np.concatenate(ones), np.concatenate(others))


def _merge(count: int, one: Indices, other: Indices) -> Indices:
    """Spread the smallest position along all links until nothing changes."""
    labels = np.arange(count)
    while True:
        low = np.minimum(labels[one], labels[other])
        spread = labels.copy()
        np.minimum.at(spread, one, low)
        np.minimum.at(spread, other, low)
        spread = spread[spread]
        if np.array_equal(spread, labels):
            return labels
        labels = spread


def _blocks(rows: Codes, columns: Codes) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Yield (first row, first column, differing bits); the array is used again for the next block."""
    apart = np.empty((ROWS, COLUMNS), dtype=np.uint64)
    counted = np.empty((ROWS, COLUMNS), dtype=np.uint8)
    for top in range(0, len(rows), ROWS):
        some = rows[top : top + ROWS, None]
        for left in range(0, len(columns), COLUMNS):
            others = columns[None, left : left + COLUMNS]
            shape = np.s_[: len(some), : others.shape[1]]
            yield (
                top,
                left,
                np.bitwise_count(np.bitwise_xor(some, others, out=apart[shape]), out=counted[shape]),
            )
