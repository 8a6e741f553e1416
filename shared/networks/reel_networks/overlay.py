"""Lays heat over pictures; called by the explainer and by the trainer's report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reel_networks.colormaps import COLORMAPS

ALPHA = 0.8
"""How much of the heat's colour covers the picture; cold places turn dark, so the hot ones stand out."""
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def heated(
    picture: NDArray[np.uint8],
    heat: NDArray[np.float32],
    *,
    alpha: float = ALPHA,
    colormap: str = "magma",
    interpolation: str = "bilinear",
) -> NDArray[np.float64]:
    """Return the picture (H, W, 3) under its heat map (h, w) of values in 0..1, in colour, as values of 0..255.

    The map is upscaled to the picture, each of its cells covering its own part of it.
    """
    levels = (upscaled(heat, picture.shape[:2], interpolation).clip(0, 1) * 255).round().astype(np.uint8)
    mixed: NDArray[np.float64] = picture * (1 - alpha) + COLORMAPS[colormap][levels] * alpha
    return mixed


def upscaled(
    values: NDArray[np.floating], shape: tuple[int, ...], interpolation: str = "bilinear"
) -> NDArray[np.float32]:
    """Return a map (h, w) brought to ``shape`` (H, W)."""
    height, width = shape
    image = Image.fromarray(np.asarray(values, np.float32))
    return np.asarray(image.resize((width, height), INTERPOLATIONS[interpolation]))
