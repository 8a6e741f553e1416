"""What a frame looks like, in numbers made by hand: edges, colours, contrasts. Called by ``subjects`` and its task."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

VERSION = 1
"""Of what the numbers mean: features of another version are made anew."""
_SIZE = (160, 90)
_COLOUR_SIZE = (96, 54)
_CELLS = (6, 4)
_EDGE_CELLS = (8, 5)
_DIRECTIONS = 6
_STRONG_EDGE = 60.0
_BINS = 6
_SURROUNDS = (2, 5, 10)
_LIGHTS, _TONE, _TONES = 5, 8, 18
_PRESENT = 0.15
"""Square root of the share of the picture from which a colour counts as fully there: 2%."""

Floats = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


class Features(NamedTuple):
    """Of n pictures, or of one where there is no first axis. Small types: 50,000 pictures take 150 MB."""

    shapes: npt.NDArray[np.float16]
    """(n, 637): edges by direction and place, coarse colours, contrasts of parts with their surroundings."""
    colours: npt.NDArray[np.uint8]
    """(n, 1620): how much of each fine colour there is; characters keep theirs through a film."""


def of_jpeg(data: bytes) -> Features:
    """Return the features of one of our own JPEG files. Raises ValueError when it cannot be decoded."""
    picture: Picture = simplejpeg.decode_jpeg(
        data, colorspace="RGB", min_width=2 * _SIZE[0], min_height=2 * _SIZE[1], min_factor=1
    )
    return of_picture(picture)


def of_picture(picture: Picture) -> Features:
    """Return the features of an RGB picture (H, W, 3) of any size; its aspect is not looked at."""
    small: Picture = np.asarray(cv2.resize(picture, _SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    parts = [*_edges(lab), *_layout(lab), *_contrasts(lab), _histogram(small)]
    return Features(np.concatenate(parts).astype(np.float16), _colours(small))


def stack(features: list[Features]) -> Features:
    return Features(np.stack([one.shapes for one in features]), np.stack([one.colours for one in features]))


def _edges(lab: Floats) -> list[Floats]:
    """Gradient energy by direction and cell, as HOG has it, of the channel that changes most at each pixel."""
    across = cv2.Sobel(lab, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(lab, cv2.CV_32F, 0, 1, ksize=3)
    strengths = across * across + down * down
    strongest = strengths.argmax(axis=2)[..., None]
    strength = np.sqrt(np.take_along_axis(strengths, strongest, 2)[..., 0])
    angle = np.arctan2(
        np.take_along_axis(down, strongest, 2)[..., 0], np.take_along_axis(across, strongest, 2)[..., 0]
    )
    direction = np.minimum((angle % np.pi * (_DIRECTIONS / np.pi)).astype(int), _DIRECTIONS - 1)
    energy: list[Floats] = [
        np.log1p(_cells(np.where(direction == wanted, strength, 0).astype(np.float32), _CELLS))
        for wanted in range(_DIRECTIONS)
    ]
    density = np.sqrt(_cells((strength > _STRONG_EDGE).astype(np.float32), _EDGE_CELLS))
    spread = _levels(strength, 50, 75, 90, 95, 98, 99.5)
    return [*energy, density, spread]


def _layout(lab: Floats) -> list[Floats]:
    """Mean and spread of the colour in each cell."""
    mean, square = _cells(lab, _CELLS), _cells(lab * lab, _CELLS)
    spread: Floats = np.sqrt(np.maximum(square - mean * mean, 0))
    return [mean / np.float32(20), spread / np.float32(10)]


def _contrasts(lab: Floats) -> list[Floats]:
    """How much parts of three sizes stand out from what surrounds them: what draws the eye."""
    found: list[Floats] = []
    for size in _SURROUNDS:
        apart = cv2.GaussianBlur(lab, (0, 0), size) - cv2.GaussianBlur(lab, (0, 0), 3 * size)
        strength = np.sqrt((apart * apart).sum(axis=2))
        found += [np.log1p(_cells(strength, _CELLS)), _levels(strength, 50, 75, 90, 97, 99.5)]
    return found


def _histogram(small: Picture) -> Floats:
    bins = small.astype(int) * _BINS // 256
    counted = np.bincount(
        (bins[..., 0] * _BINS * _BINS + bins[..., 1] * _BINS + bins[..., 2]).ravel(), minlength=_BINS**3
    )
    return (5 * np.sqrt(counted / small[..., 0].size)).astype(np.float32)


def _colours(small: Picture) -> npt.NDArray[np.uint8]:
    tiny = cv2.resize(small, _COLOUR_SIZE, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(tiny, cv2.COLOR_RGB2LAB).astype(int)
    light = lab[..., 0] * _LIGHTS // 256
    red, yellow = (np.clip((lab[..., axis] - 128) // _TONE + _TONES // 2, 0, _TONES - 1) for axis in (1, 2))
    counted = np.bincount(
        (light * _TONES * _TONES + red * _TONES + yellow).ravel(), minlength=_LIGHTS * _TONES**2
    )
    share = np.sqrt(counted / light.size)
    return np.round(np.minimum(share / _PRESENT, 1) * 255).astype(np.uint8)


def _cells(values: Floats, cells: tuple[int, int]) -> Floats:
    averaged = cv2.resize(values, cells, interpolation=cv2.INTER_AREA)
    return np.asarray(averaged, dtype=np.float32).ravel()


def _levels(values: Floats, *percentiles: float) -> Floats:
    return np.log1p(np.percentile(values, percentiles)).astype(np.float32)
