"""Scores of what makes a picture useless, and the check that it fails; called by frames and pictures."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from reel_shared.contracts.quality import QualityChecks

SIDE = 256
"""Pixels of the longer side at which pictures are judged; smaller ones as they are."""

_WINDOW = np.ones((9, 9), dtype=np.uint8)
_STEP = np.ones((3, 3), dtype=np.uint8)
_SOMETHING = 16
"""Range of levels within a window from which on there is something in it."""
_EDGE = 12
_BEST_EDGES = 0.9

Picture = npt.NDArray[np.uint8]
_Histogram = npt.NDArray[np.float64]


class Quality(NamedTuple):
    """What was measured of a picture, and the first check that it fails."""

    scores: dict[str, float]
    """By check: ``too_small`` pixels, ``odd_aspect`` short over long side, ``dark`` and ``bright`` levels of 255,
    ``low_information`` share of the picture, ``blurred`` sharpness (left out where there is no edge)."""
    reason: str | None
    """``too-small``, ``odd-aspect``, ``dark``, ``bright``, ``low-information``, ``blurred``, or None."""


def assess(image: Picture, checks: QualityChecks | None = None) -> Quality:
    """Score an RGB picture (H, W, 3) uint8 and hold the scores against thresholds, the default ones unless given.

    Everything but the shape is measured on one copy shrunk to 256 pixels. Line drawings decide what is measured:
    they are nearly all white, have hardly any information in the sense of entropy, and must pass.
    """
    height, width = image.shape[:2]
    small = _shrunk(image)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    levels = _histogram(grey)
    ranges = np.asarray(cv2.morphologyEx(small, cv2.MORPH_GRADIENT, _WINDOW), dtype=np.uint8)
    scores = {
        "too_small": float(min(height, width)),
        "odd_aspect": round(min(height, width) / max(height, width), 4),
        "dark": float(_level(levels, 0.99)),
        "bright": float(_level(levels, 0.001)),
        "low_information": round(_share_with_something(ranges), 4),
    }
    sharpness = _sharpness(grey)
    if sharpness is not None:
        scores["blurred"] = round(sharpness, 4)
    return Quality(scores, _failed(scores, checks or QualityChecks()))


def _failed(scores: dict[str, float], checks: QualityChecks) -> str | None:
    """Return the reason of the first check that fails; black comes before flat, and flat before blurred."""
    for name, score in scores.items():
        threshold = getattr(checks, name)
        if threshold is not None and (score > threshold if name == "bright" else score < threshold):
            return name.replace("_", "-")
    return None


def _shrunk(image: Picture) -> Picture:
    """Return a copy whose longer side is ``SIDE``."""
    height, width = image.shape[:2]
    if max(height, width) <= SIDE:
        return image
    times = max(height, width) // SIDE
    if times > 1:
        # OpenCV averages blocks of whole pixels many times faster than others; at most a last line is left out.
        wide, high = max(1, width // times), max(1, height // times)
        image = _resized(image[: high * times, : wide * times], wide, high, cv2.INTER_AREA)
    scale = SIDE / max(height, width)
    return _resized(image, round(width * scale), round(height * scale), cv2.INTER_LINEAR)


def _resized(image: Picture, width: int, height: int, method: int) -> Picture:
    return np.asarray(cv2.resize(image, (max(1, width), max(1, height)), interpolation=method), np.uint8)


def _histogram(plane: Picture, mask: Picture | None = None) -> _Histogram:
    return np.asarray(cv2.calcHist([plane], [0], mask, [256], [0, 256]), dtype=np.float64).ravel()


def _level(histogram: _Histogram, share: float) -> int:
    """Return the level that ``share`` of the pixels do not exceed."""
    summed = np.cumsum(histogram)
    return int(np.searchsorted(summed, share * summed[-1]))


def _share_with_something(ranges: Picture) -> float:
    strongest = cv2.max(cv2.max(ranges[..., 0], ranges[..., 1]), ranges[..., 2])
    return float(np.count_nonzero(strongest >= _SOMETHING)) / strongest.size


def _sharpness(grey: Picture) -> float | None:
    """Return how much of an edge's height its steepest step makes up, for the best edges; None without edges.

    A ratio of two differences: it does not depend on contrast, and a soft background beside one sharp figure
    does not lower it. Variance of the Laplacian, the usual measure, does both.
    """
    ranges = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _WINDOW), dtype=np.uint8)
    bound = max(_EDGE, _level(_histogram(ranges), 0.99) // 2)
    _, edges = cv2.threshold(ranges, bound - 1, 255, cv2.THRESH_BINARY)
    if not cv2.countNonZero(edges):
        return None
    steps = cv2.dilate(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _STEP), _WINDOW)
    ratios = np.asarray(cv2.divide(steps, ranges, scale=255), dtype=np.uint8)
    return _level(_histogram(ratios, np.asarray(edges, np.uint8)), _BEST_EDGES) / 255
