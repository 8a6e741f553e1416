"""How much better a leaky split makes a model look; called by the ``measure_leak_gap`` task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reel_shared.manifest import Manifest, ManifestImage, Side

DRAWS = 2000


class Judged(NamedTuple):
    """Validation pictures of one split: the group of each, and whether the model was right."""

    groups: list[str]
    right: npt.NDArray[np.bool_]


def group_of(image: ManifestImage) -> str:
    """Return what a picture hangs together with: its group, or in manifests without groups its scene."""
    return image.group or image.scene or image.id


def neighbours(manifest: Manifest) -> float:
    """Return the share of validation pictures whose group is trained on too."""
    trained = {group_of(image) for image in manifest.on(Side.TRAIN)}
    valid = manifest.on(Side.VALID)
    return sum(group_of(image) in trained for image in valid) / len(valid) if valid else 0.0


def gap_interval(random: Judged, groups: Judged, *, seed: int, draws: int = DRAWS) -> tuple[float, float]:
    """Return the 95 % interval of the difference of accuracies, drawing whole groups with replacement on both sides."""
    rng = np.random.default_rng(seed)
    differences = _accuracies(random, rng, draws) - _accuracies(groups, rng, draws)
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def _accuracies(judged: Judged, rng: np.random.Generator, draws: int) -> npt.NDArray[np.float64]:
    _, numbers = np.unique(np.asarray(judged.groups), return_inverse=True)
    sizes = np.bincount(numbers)
    right = np.bincount(numbers, weights=judged.right)
    drawn = rng.integers(len(sizes), size=(draws, len(sizes)))
    accuracies: npt.NDArray[np.float64] = right[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return accuracies


def judged(images: Sequence[ManifestImage], right: Sequence[bool]) -> Judged:
    return Judged([group_of(image) for image in images], np.asarray(right, dtype=bool))
