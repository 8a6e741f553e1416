"""Quality: useless pictures fail the right check; thin drawings, night scenes and soft backgrounds pass."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reel_ingest.quality import assess
from reel_shared.contracts import FrameChecks, QualityChecks


def filled(level, size=(400, 700)):
    return np.full((*size, 3), level, dtype=np.uint8)


def drawing(paper=252, pencil=110):
    """A pale pencil line, two pixels wide, on white."""
    sheet = filled(paper)
    cv2.circle(sheet, (350, 200), 120, (pencil,) * 3, 2, cv2.LINE_AA)
    cv2.line(sheet, (40, 360), (600, 340), (pencil,) * 3, 2, cv2.LINE_AA)
    return sheet


def ink():
    """Black and white only, as scanned at one bit."""
    return np.where(drawing() < 200, np.uint8(0), np.uint8(255))


def night():
    sky = np.random.default_rng(0).integers(0, 12, (400, 700, 3), dtype=np.uint8)
    cv2.circle(sky, (520, 120), 45, (200, 200, 170), -1)
    return sky


def flat_cartoon():
    """Three areas of plain colour without an outline."""
    picture = filled((120, 180, 230))
    picture[250:] = (60, 140, 50)
    cv2.circle(picture, (300, 230), 60, (230, 150, 40), -1, cv2.LINE_AA)
    return picture


def figure_before_a_soft_background():
    coarse = np.random.default_rng(3).integers(60, 200, (5, 8, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (700, 400), interpolation=cv2.INTER_CUBIC)
    cv2.ellipse(picture, (350, 220), (60, 140), 0, 0, 360, (240, 200, 160), -1, cv2.LINE_AA)
    return picture


def two_colours_of_one_brightness():
    picture = filled(0)
    picture[:, :350], picture[:, 350:] = (200, 0, 0), (0, 102, 0)
    return picture


def noise_on(level, spread=3):
    noise = np.random.default_rng(1).normal(0, spread, (400, 700, 3))
    return np.clip(level + noise, 0, 255).astype(np.uint8)


GOOD = [
    drawing,
    ink,
    night,
    flat_cartoon,
    figure_before_a_soft_background,
    two_colours_of_one_brightness,
    lambda: 255 - drawing(),
    lambda: cv2.resize(flat_cartoon(), (160, 120), interpolation=cv2.INTER_AREA),
    lambda: drawing(paper=225, pencil=165),
]
CONTRASTED = GOOD[:5]


@pytest.mark.parametrize("make", GOOD)
def test_good_pictures_pass_every_check(make):
    assert assess(make()).reason is None


@pytest.mark.parametrize("make", CONTRASTED)
@pytest.mark.parametrize("size", [(700, 400), (160, 92), (2100, 1200)])
def test_out_of_focus_at_any_size(make, size):
    picture = cv2.resize(make(), size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(picture, (0, 0), max(size) / 30)
    # A line may be smeared until nothing is left of it.
    assert assess(soft).reason in {"blurred", "low-information", "bright"}
    assert assess(picture).reason is None


def test_noise_on_top_does_not_hide_a_blur():
    soft = cv2.GaussianBlur(flat_cartoon(), (0, 0), 20).astype(np.int16)
    grain = np.random.default_rng(4).normal(0, 4, soft.shape)
    assert assess(np.clip(soft + grain, 0, 255).astype(np.uint8)).reason == "blurred"


@pytest.mark.parametrize("make", GOOD)
def test_a_tenth_of_the_light_is_dark(make):
    assert assess((make() * 0.1).astype(np.uint8)).reason == "dark"


@pytest.mark.parametrize("make", GOOD)
def test_washed_out_is_bright(make):
    assert assess(np.clip(make() * 0.15 + 225, 0, 255).astype(np.uint8)).reason == "bright"


@pytest.mark.parametrize("make", GOOD)
def test_hardly_any_contrast_is_low_information(make):
    picture = make().astype(np.float64)
    middle = picture.mean(axis=(0, 1))
    assert assess((128 + (picture - middle) * 0.04).astype(np.uint8)).reason == "low-information"


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (filled(0), "dark"),
        (noise_on(8), "dark"),
        (filled(128), "low-information"),
        (noise_on(128), "low-information"),
        (filled(255), "bright"),
        (drawing()[170:233], "too-small"),
        (drawing()[:, 230:270], "too-small"),
        (drawing()[150:260], "odd-aspect"),
        (drawing()[:, 300:410], "odd-aspect"),
        (np.zeros((1, 1, 3), np.uint8), "too-small"),
        (np.zeros((1, 9000, 3), np.uint8), "too-small"),
    ],
)
def test_useless_pictures_have_their_reason(picture, reason):
    assert assess(picture).reason == reason


def test_a_check_that_is_off_refuses_nothing():
    off = QualityChecks(**dict.fromkeys(QualityChecks.model_fields))
    assert assess(filled(0), off).reason is None
    assert assess(np.zeros((1, 1, 3), np.uint8), off).reason is None


@pytest.mark.parametrize("check", list(QualityChecks.model_fields))
def test_each_threshold_is_the_callers(check):
    picture = figure_before_a_soft_background()
    score = assess(picture).scores[check]
    stricter = score - 0.01 if check == "bright" else score + (1 if check == "too_small" else 0.01)
    others_off = dict.fromkeys(QualityChecks.model_fields)
    checks = QualityChecks.model_construct(**{**others_off, check: stricter})
    assert assess(picture, checks).reason == check.replace("_", "-")
    assert assess(picture, QualityChecks(**{**others_off, check: score})).reason is None


def test_frames_may_have_any_size_and_shape():
    strip = drawing()[190:220, 200:500]
    assert assess(strip).reason == "too-small"
    assert assess(strip, FrameChecks()).reason is None


def test_what_has_no_edge_has_no_sharpness():
    assert "blurred" not in assess(filled(128)).scores
    assert set(assess(drawing()).scores) == set(QualityChecks.model_fields)
