"""Chooses which groups validate, greedily towards the share of each class and source; called by ``splits``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from reel_shared.manifest import ManifestImage

Cell = tuple[str, str]
"""A class and a source; each is given its share of validation pictures."""
Groups = Sequence[Sequence[ManifestImage]]


class Choice:
    """Groups in the order of a hash of the seed and their first picture, so that what comes later moves little.

    ``valid`` and ``train`` are groups whose side is settled; they count, and are not asked. Empty ones do not count.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        valid_fraction: float,
        seed: int,
        valid: set[int] | None = None,
        train: set[int] | None = None,
    ) -> None:
        self.sizes: list[Counter[Cell]] = [Counter((i.label, i.source.value) for i in g) for g in groups]
        self.labels: list[set[str]] = [{i.label for i in g} for g in groups]
        total: Counter[Cell] = sum(self.sizes, Counter())
        self.target = {cell: max(1, round(valid_fraction * n)) for cell, n in total.items()}
        self.group_count = Counter(label for labels in self.labels for label in labels)
        self.cell_count: Counter[Cell] = Counter(cell for sizes in self.sizes for cell in sizes)
        settled = (valid or set()) | (train or set())
        free = (number for number, members in enumerate(groups) if members and number not in settled)
        self.order = sorted(free, key=lambda n: shuffled(seed, groups[n][0].id))
        self.chosen: set[int] = set()
        self.taken: Counter[Cell] = Counter()
        self.taken_groups: Counter[Cell] = Counter()
        self.taken_labels: Counter[str] = Counter()
        for number in sorted(valid or ()):
            self._take(number)

    def run(self) -> set[int]:
        """Return the numbers of the groups that validate, the settled ones among them."""
        for number in self.order:
            if self._gain(number) > 0 and self._leaves_train(number):
                self._take(number)
        for cell in sorted(self.target):
            if not self.taken[cell] and self.cell_count[cell] > 1:
                self._repair(cell)
        return self.chosen

    def _gain(self, number: int) -> int:
        """By how many pictures the cells come nearer to their targets, all together."""
        return sum(
            abs(self.target[cell] - self.taken[cell]) - abs(self.target[cell] - self.taken[cell] - count)
            for cell, count in self.sizes[number].items()
        )

    def _leaves_train(self, number: int) -> bool:
        """Whether every class and cell of the group keeps a group to train on, where it has more than one."""
        return all(
            self.group_count[label] - self.taken_labels[label] > 1 for label in self.labels[number]
        ) and all(
            self.cell_count[cell] - self.taken_groups[cell] > 1 or self.cell_count[cell] == 1
            for cell in self.sizes[number]
        )

    def _repair(self, cell: Cell) -> None:
        """Give an empty cell the group that costs the other cells least."""
        candidates = [
            n for n in self.order if n not in self.chosen and cell in self.sizes[n] and self._leaves_train(n)
        ]
        if candidates:
            self._take(max(candidates, key=self._gain))

    def _take(self, number: int) -> None:
        self.chosen.add(number)
        self.taken.update(self.sizes[number])
        self.taken_groups.update(self.sizes[number].keys())
        self.taken_labels.update(self.labels[number])


def shuffled(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
