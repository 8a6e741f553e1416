"""Lays heat over pictures; called by the explainer and by the trainer's report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reel_networks.magma import MAGMA

ALPHA = 0.8
"""How much of the heat's colour covers the picture; cold places turn dark, so the hot ones stand out."""


def heated(
    picture: NDArray[np.uint8], heat: NDArray[np.float32], *, alpha: float = ALPHA
) -> NDArray[np.float64]:
    """Return the picture (H, W, 3) under its heat map (h, w) of values in 0..1, in magma, as values of 0..255.

    The map is upscaled bilinearly, each of its cells covering its own part of the picture.
    """
    height, width = picture.shape[:2]
    upscaled = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    levels = (np.asarray(upscaled).clip(0, 1) * 255).round().astype(np.uint8)
    mixed: NDArray[np.float64] = picture * (1 - alpha) + MAGMA[levels] * alpha
    return mixed
