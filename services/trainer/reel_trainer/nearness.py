"""Nearest neighbours by hash and in time, and connected groups, for the certificate alone; called by ``leaks``.

Brute force over all pairs by numpy's popcount, and on purpose another way than the split's; what a negative is, is
said once for both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reel_shared.hamming import INVERTED, ODD_ONE, forgiven

Codes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

ROWS, COLUMNS = 64, 4096
"""Pairs compared at a time: few enough for the processor's cache."""
EDGES = 1_000_000
"""Links kept before they are merged into groups."""


class Hashes(NamedTuple):
    """Perceptual hashes of pictures, and those with the bars around them: the same where there are none."""

    plain: Codes
    barred: Codes

    @property
    def negatives(self) -> Hashes:
        return Hashes(self.plain ^ np.uint64(INVERTED), self.barred ^ np.uint64(INVERTED))

    def part(self, start: int, count: int) -> Hashes:
        return Hashes(self.plain[start : start + count], self.barred[start : start + count])


class Nearest(NamedTuple):
    """For each held-out picture the position and distance of the nearest of training, and of the nearest negative;
    empty lists without training pictures. Pairs within the distance are counted for both."""

    plain: list[tuple[int, int]]
    inverted: list[tuple[int, int]]
    pairs: int
    inverted_pairs: int


def across(train: Hashes, held: Hashes, distance: int) -> Nearest:
    """Compare every held-out picture with every one of training: 10,000 with 50,000 in about two seconds."""
    if not len(train.plain) or not len(held.plain):
        return Nearest([], [], 0, 0)
    at, bits, pairs = _nearest(train, held, distance)
    turned_at, turned, turned_pairs = _nearest(train.negatives, held, distance + ODD_ONE)
    return Nearest(
        list(zip(at.tolist(), bits.tolist(), strict=True)),
        list(zip(turned_at.tolist(), forgiven(turned).tolist(), strict=True)),
        pairs,
        turned_pairs,
    )


def _nearest(train: Hashes, held: Hashes, reach: int) -> tuple[Indices, npt.NDArray[np.uint8], int]:
    """Return where the nearest of training lies for each held-out picture, how near, and the pairs within reach."""
    best, best_at = np.full(len(held.plain), 65, np.uint8), np.zeros(len(held.plain), np.intp)
    pairs = 0
    for top, left, bits in _blocks(held, train):
        rows = slice(top, top + len(bits))
        least = bits.min(axis=1)
        # where nothing comes nearer than before, as in most blocks, there is no position to look for
        better = np.nonzero(least < best[rows])[0]
        if len(better):
            best[top + better] = least[better]
            best_at[top + better] = left + bits[better].argmin(axis=1)
        if least.min() <= reach:
            pairs += int((bits <= reach).sum())
    return best_at, best, pairs


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
    facts: Sequence[Sequence[str | None]], hashes: Hashes, distance: int, *, inverted: bool
) -> Indices:
    """Return a label for each picture, equal where they are linked by an equal fact of the same kind, by hashes within
    ``distance``, or by such hashes of negatives."""
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
    for columns, reach in [(hashes, distance), (hashes.negatives, distance + ODD_ONE)][: 1 + inverted]:
        for top, left, bits in _blocks(hashes, columns):
            if left + bits.shape[1] <= top:
                continue
            row, column = np.nonzero(bits <= reach)
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


def _blocks(rows: Hashes, columns: Hashes) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Yield (first row, first column, differing bits); the array is used again for the next block."""
    apart = np.empty((ROWS, COLUMNS), dtype=np.uint64)
    counted = np.empty((ROWS, COLUMNS), dtype=np.uint8)
    for top in range(0, len(rows.plain), ROWS):
        some = rows.part(top, ROWS)
        for left in range(0, len(columns.plain), COLUMNS):
            others = columns.part(left, COLUMNS)
            shape = np.s_[: len(some.plain), : len(others.plain)]
            different = np.bitwise_xor(some.plain[:, None], others.plain[None], out=apart[shape])
            bits = np.bitwise_count(different, out=counted[shape])
            _nearer_by_bars(bits, some, others)
            yield top, left, bits


def _nearer_by_bars(bits: npt.NDArray[np.uint8], rows: Hashes, columns: Hashes) -> None:
    """Lower the differing bits, in place, of pairs that come nearer with the bars around one of them or both."""
    row, column = (np.flatnonzero(each.plain != each.barred) for each in (rows, columns))
    every_row, every_column = np.arange(len(rows.plain)), np.arange(len(columns.plain))
    for at, one, place, other in (
        (row, rows.barred, every_column, columns.plain),
        (every_row, rows.plain, column, columns.barred),
        (row, rows.barred, column, columns.barred),
    ):
        if len(at) and len(place):
            where = np.ix_(at, place)
            with_bars = np.bitwise_count(one[at][:, None] ^ other[place][None])
            bits[where] = np.minimum(bits[where], with_bars)
