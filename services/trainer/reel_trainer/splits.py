"""Splits a dataset by whole groups (scene, lineage, near duplicates), stratified by class and source.

Called by ``versions``. The split looks at every original whatever the request filters, so models trained on
different sources are judged on the same validation pictures.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reel_shared.contracts import BuildDatasetVersionRequest, Variant
from reel_shared.manifest import ManifestImage, Side

Cell = tuple[str, str]
"""A class and a source; each is given its share of validation pictures."""

BLOCK = 512
FEW_GROUPS = 3


@dataclass(frozen=True)
class Split:
    sides: dict[str, Side]
    """Picture id -> side."""
    groups: int
    warnings: list[str] = field(default_factory=list)


def split(images: Sequence[ManifestImage], request: BuildDatasetVersionRequest) -> Split:
    """Give each picture its side; the same pictures and seed give the same one in whatever order they come."""
    originals = sorted((image for image in images if image.variant == Variant.ORIGINAL), key=lambda i: i.id)
    groups = group(originals, near_distance=request.near_distance)
    chosen = _Choice(groups, request)
    valid = {image.id for number in chosen.run() for image in groups[number]}
    return Split(_sides(images, valid, request), len(groups), chosen.warnings())


def group(originals: Sequence[ManifestImage], *, near_distance: int) -> list[list[ManifestImage]]:
    """Return the sets that must not be divided: same scene, or linked by pHashes within ``near_distance``."""
    parents = list(range(len(originals)))

    def find(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    first: dict[tuple[str, str | None], int] = {}
    for index, image in enumerate(originals):
        for key in (("scene", image.scene), ("file", image.sha256), ("phash", image.phash)):
            if key[1] is not None:
                parents[find(index)] = find(first.setdefault(key, index))
    # equal hashes are joined already: only one of each goes into the comparison of all pairs
    distinct = [index for (kind, _), index in first.items() if kind == "phash"]
    for one, other in near_pairs(hashes([originals[index] for index in distinct]), near_distance):
        parents[find(distinct[one])] = find(distinct[other])
    members: dict[int, list[ManifestImage]] = defaultdict(list)
    for index, image in enumerate(originals):
        members[find(index)].append(image)
    return sorted(members.values(), key=lambda images: images[0].id)


def hashes(images: Sequence[ManifestImage]) -> npt.NDArray[np.uint64]:
    return np.array([int(image.phash, 16) for image in images], dtype=np.uint64)


def near_pairs(codes: npt.NDArray[np.uint64], distance: int) -> Iterator[tuple[int, int]]:
    """Yield every pair (i < j) within ``distance`` bits: exact, in blocks, 20,000 codes in about a second."""
    for start in range(0, len(codes), BLOCK):
        block = codes[start : start + BLOCK]
        near = np.bitwise_count(block[:, None] ^ codes[None, start:]) <= distance
        for row, column in zip(*np.nonzero(np.triu(near, k=1)), strict=True):
            yield start + int(row), start + int(column)


class _Choice:
    """Chooses validation groups: greedily towards each cell's target, then repaired where a class lacks a side."""

    def __init__(self, groups: list[list[ManifestImage]], request: BuildDatasetVersionRequest) -> None:
        self.sizes: list[Counter[Cell]] = [Counter((i.label, i.source.value) for i in g) for g in groups]
        self.labels: list[set[str]] = [{i.label for i in g} for g in groups]
        total: Counter[Cell] = sum(self.sizes, Counter())
        self.target = {cell: max(1, round(request.valid_fraction * n)) for cell, n in total.items()}
        self.group_count = Counter(label for labels in self.labels for label in labels)
        self.cell_count: Counter[Cell] = Counter(cell for sizes in self.sizes for cell in sizes)
        self.order = sorted(range(len(groups)), key=lambda n: _shuffled(request.seed, groups[n][0].id))
        self.chosen: set[int] = set()
        self.taken: Counter[Cell] = Counter()
        self.taken_groups: Counter[Cell] = Counter()
        self.taken_labels: Counter[str] = Counter()

    def run(self) -> set[int]:
        for number in self.order:
            if self._gain(number) > 0 and self._leaves_train(number):
                self._take(number)
        for cell in sorted(self.target):
            if not self.taken[cell] and self.cell_count[cell] > 1:
                self._repair(cell)
        return self.chosen

    def warnings(self) -> list[str]:
        found = []
        for label, count in sorted(self.group_count.items()):
            if count < FEW_GROUPS:
                found.append(
                    f"class {label} has {count} independent group(s) of pictures; its accuracy says little"
                )
            if not self.taken_labels[label]:
                found.append(f"class {label} has no validation picture: all of it hangs together")
        return found

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
        candidates = [n for n in self.order if cell in self.sizes[n] and self._leaves_train(n)]
        if candidates:
            self._take(max(candidates, key=self._gain))

    def _take(self, number: int) -> None:
        self.chosen.add(number)
        self.taken.update(self.sizes[number])
        self.taken_groups.update(self.sizes[number].keys())
        self.taken_labels.update(self.labels[number])


def _sides(
    images: Sequence[ManifestImage], valid: set[str], request: BuildDatasetVersionRequest
) -> dict[str, Side]:
    by_id = {image.id: image for image in images}
    sides = {}
    for image in images:
        if image.id in valid:
            sides[image.id] = Side.VALID
            continue
        wanted = image.source in request.train_sources and (
            request.variants or image.variant == Variant.ORIGINAL
        )
        barred = root(image, by_id).id in valid
        sides[image.id] = Side.TRAIN if wanted and not barred else Side.EXCLUDED
    return sides


def root(image: ManifestImage, by_id: dict[str, ManifestImage]) -> ManifestImage:
    """Follow the lineage up to the original."""
    while image.parent_id is not None:
        image = by_id[image.parent_id]
    return image


def _shuffled(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
