"""Draws explanations: heat over the picture, guided gradients around grey, differences in red and blue.

Called by ``explain`` and ``difference``; ``sheets`` puts several of these drawings into one file.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reel_networks.overlay import ALPHA, heated, upscaled

SATURATED = 0.01
Pixels = NDArray[np.uint8]


def heat_overlay(
    picture: Pixels,
    heat: NDArray[np.float32],
    *,
    alpha: float = ALPHA,
    colormap: str = "magma",
    interpolation: str = "bilinear",
) -> Pixels:
    """Return the picture (H, W, 3) under its heat map (h, w) of values in 0..1."""
    return pixels(heated(picture, heat, alpha=alpha, colormap=colormap, interpolation=interpolation))


def guided_picture(gradient: NDArray[np.float32]) -> Pixels:
    """Return signed gradients (3, H, W) as RGB: mid grey is none, lighter speaks for, darker against.

    The strongest ``SATURATED`` part of the values that are not zero reaches black or white: few pixels are
    far stronger than all others, and without a bound those would show nothing else.
    """
    strength = np.abs(gradient[gradient != 0])
    bound = float(np.quantile(strength, 1 - SATURATED)) if strength.size else 1.0
    return pixels(128 + 127 * (gradient / bound).clip(-1, 1).transpose(1, 2, 0))


def stretched_picture(values: NDArray[np.float32]) -> Pixels:
    """Return values (3, H, W) of 0..1 as RGB."""
    return pixels(255 * values.transpose(1, 2, 0))


RED, BLUE = (230, 57, 43), (38, 110, 214)


def difference_picture(
    picture: Pixels,
    change: NDArray[np.floating],
    *,
    alpha: float = ALPHA,
    interpolation: str = "bilinear",
) -> NDArray[np.float64]:
    """Return the picture (H, W, 3) in grey, red where ``change`` (h, w) is above zero and blue where it is below.

    The strongest change has the full colour; without any the picture stays grey.
    """
    bound = float(np.abs(change).max()) or 1.0
    large = upscaled(change / bound, picture.shape[:2], interpolation).astype(np.float64)
    strength = large.clip(-1, 1)[..., None]
    grey = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    colour = np.where(strength > 0, np.array(RED), np.array(BLUE))
    mixed: NDArray[np.float64] = grey + (colour - grey) * np.abs(strength) * alpha
    return mixed


def pixels(values: NDArray[np.floating] | Pixels) -> Pixels:
    """Return values of 0..255 as bytes."""
    rounded: Pixels = np.rint(values).astype(np.uint8)
    return rounded


def png(picture: NDArray[np.floating] | Pixels) -> bytes:
    """Return RGB pixels (H, W, 3) of 0..255 as a PNG file."""
    buffer = io.BytesIO()
    # in a fifth of the time of Pillow's usual way, for as many bytes: what repeats in a drawing are runs
    Image.fromarray(pixels(picture)).save(buffer, "PNG", compress_level=2, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def npy(values: NDArray[np.floating]) -> bytes:
    """Return an array as an npy file, float32; ``numpy.load`` reads it without pickle."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values, np.float32), allow_pickle=False)
    return buffer.getvalue()
