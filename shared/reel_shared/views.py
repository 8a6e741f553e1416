"""The views that one picture's answer may be averaged over; called by inference, and held to the trainer's by a test.

A trained network is judged by fastai's ``Learner.tta``: random views by the training's own transforms, with torch.
What serves has no torch. Its one changed view is the mirror image, and the weights are those that fastai's average
tends to, over ever more passes, where the mirror is the only transform.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from reel_shared.contracts.recipes import Transforms
from reel_shared.errors import Unprocessable

BETA = 0.25
"""Weight of the plain view; fastai's."""
MOST = 1
"""Changed views that there are."""
_MIRROR = (1 - BETA) / 2
"""A random view is the mirror image half of the time, and the plain picture else."""


def check(views: int, recipe: Mapping[str, Any], model: str) -> None:
    """Raise Unprocessable where a model learnt to tell a picture from its mirror image; ``recipe`` is its card's."""
    transforms = recipe.get("transforms") or {}
    if views and not transforms.get("flip", Transforms().flip):
        raise Unprocessable(
            f"Model {model} was trained without mirrored pictures: a mirror image is another picture to it. Ask it "
            "with tta 0."
        )


def views_of(picture: npt.NDArray[np.uint8], views: int) -> list[npt.NDArray[np.uint8]]:
    """Return the picture (H, W, 3) and as many changed views of it, each of the same shape."""
    return [picture, np.ascontiguousarray(picture[:, ::-1])][: 1 + views]


def average(chances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean (classes,) of the views' probabilities (views, classes), those of the plain picture first.

    Never the largest of them (fastai's ``use_max``): such rows do not add up to one.
    """
    weights = [1.0] if len(chances) == 1 else [1 - _MIRROR, _MIRROR]
    return np.asarray(np.array(weights) @ chances)
