"""Reasons to refuse a picture for what it shows; called by frames and pictures."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

SMALLEST_SIDE = 64
DARK_MEAN, DARK_SPREAD = 16.0, 16.0
FLAT_SPREAD = 5.0


def refusal_reason(image: npt.NDArray[np.uint8], *, smallest_side: int = SMALLEST_SIDE) -> str | None:
    """Return ``too-small``, ``dark`` or ``flat`` for an RGB picture (H, W, 3) uint8, or None when it is usable.

    Dark means black frames and fades: hardly any light and hardly any difference (levels of 255). Flat means
    nothing to see: plain colour fills, grey decoder garbage. Both also have meaningless perceptual hashes, which
    would call all of them duplicates. A pencil drawing on white paper has a spread well above the bound.
    """
    height, width = image.shape[:2]
    if min(height, width) < smallest_side:
        return "too-small"
    shrunk = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    mean, spread = cv2.meanStdDev(cv2.cvtColor(shrunk, cv2.COLOR_RGB2GRAY))
    if mean[0, 0] < DARK_MEAN and spread[0, 0] < DARK_SPREAD:
        return "dark"
    _, colour_spread = cv2.meanStdDev(shrunk)
    if spread[0, 0] < FLAT_SPREAD and float(colour_spread.max()) < FLAT_SPREAD:
        return "flat"
    return None
