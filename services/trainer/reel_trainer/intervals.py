"""How sure an accuracy is: whole groups of pictures are drawn anew; called by ``evaluation`` and ``leak_gap``.

Pictures of one scene are right or wrong together. To draw single ones would make an interval far too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reel_shared.manifest import ManifestImage

DRAWS = 2000
Sums = npt.NDArray[np.float64]
_AT_ONCE = 1_000_000
"""Groups drawn at a time: three arrays of 8 MB."""


class Judged(NamedTuple):
    """Pictures that a model was asked of: the group of each, and whether it was right."""

    groups: list[str]
    right: npt.NDArray[np.bool_]


def judged(images: Sequence[ManifestImage], right: Sequence[bool]) -> Judged:
    return Judged([group_of(image) for image in images], np.asarray(right, dtype=bool))


def group_of(image: ManifestImage) -> str:
    """Return what a picture hangs together with: its group, or in manifests without groups its scene."""
    return image.group or image.scene or image.id


def accuracy_interval(judged: Judged, *, seed: int = 0, draws: int = DRAWS) -> tuple[float, float] | None:
    """Return the 95 % interval of an accuracy; None with fewer than two groups."""
    if len(set(judged.groups)) < 2:
        return None
    return middle(accuracies(judged, np.random.default_rng(seed), draws))


def accuracies(judged: Judged, rng: np.random.Generator, draws: int) -> Sums:
    """Return the accuracies of so many draws, each of as many groups as there are, with replacement."""
    columns = np.column_stack([judged.right, np.ones(len(judged.right))])
    drawn = resampled(judged.groups, columns, rng, draws)
    found: Sums = drawn[:, 0] / drawn[:, 1]
    return found


def resampled(groups: Sequence[str], columns: Sums, rng: np.random.Generator, draws: int) -> Sums:
    """Return (draws, columns): each column's sum over the pictures of as many groups as there are, drawn anew.

    ``columns`` are (pictures, columns), ``groups`` the group of each picture.
    """
    names, numbers = np.unique(np.asarray(groups), return_inverse=True)
    count = len(names)
    sums = np.zeros((count, columns.shape[1]))
    np.add.at(sums, numbers, columns)
    step = max(1, _AT_ONCE // count)
    found = []
    for start in range(0, draws, step):
        drawn = rng.integers(count, size=(min(step, draws - start), count))
        drawn += count * np.arange(len(drawn))[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        found.append(times @ sums)
    return np.concatenate(found)


def middle(values: Sums) -> tuple[float, float]:
    """Return what 95 % of the values lie between."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
