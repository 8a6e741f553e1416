"""How much better a leaky split makes a model look; called by the ``measure_leak_gap`` task."""

from __future__ import annotations

import numpy as np

from reel_shared.manifest import Manifest, Side
from reel_trainer.intervals import DRAWS, Judged, accuracies, group_of, middle


def neighbours(manifest: Manifest) -> float:
    """Return the share of validation pictures whose group is trained on too."""
    trained = {group_of(image) for image in manifest.on(Side.TRAIN)}
    valid = manifest.on(Side.VALID)
    return sum(group_of(image) in trained for image in valid) / len(valid) if valid else 0.0


def gap_interval(random: Judged, groups: Judged, *, seed: int, draws: int = DRAWS) -> tuple[float, float]:
    """Return the 95 % interval of the difference of accuracies, drawing whole groups with replacement on both sides."""
    rng = np.random.default_rng(seed)
    return middle(accuracies(random, rng, draws) - accuracies(groups, rng, draws))
