"""Quality: useless pictures are refused with their reason, thin drawings and night scenes are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reel_ingest.quality import refusal_reason


def filled(level, size=(200, 300)):
    return np.full((*size, 3), level, dtype=np.uint8)


def drawing():
    paper = filled(252)
    cv2.circle(paper, (150, 100), 60, (90, 90, 90), 1)
    cv2.line(paper, (20, 180), (280, 170), (120, 120, 120), 1)
    return paper


def night():
    sky = np.random.default_rng(0).integers(0, 12, (200, 300, 3), dtype=np.uint8)
    cv2.circle(sky, (220, 60), 30, (230, 230, 200), -1)
    return sky


def noise_on(level):
    return np.clip(level + np.random.default_rng(1).normal(0, 3, (200, 300, 3)), 0, 255).astype(np.uint8)


def two_colours_of_one_brightness():
    picture = filled(0)
    picture[:, :150], picture[:, 150:] = (200, 0, 0), (0, 102, 0)
    return picture


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (filled(0), "dark"),
        (noise_on(8), "dark"),
        (filled(128), "flat"),
        (noise_on(128), "flat"),
        (filled(255), "flat"),
        (drawing()[:63], "too-small"),
        (drawing()[:, :40], "too-small"),
        (drawing(), None),
        (night(), None),
        (two_colours_of_one_brightness(), None),
    ],
)
def test_reason(picture, reason):
    assert refusal_reason(picture) == reason


def test_smallest_side_is_the_callers():
    assert refusal_reason(drawing()[:63], smallest_side=32) is None
