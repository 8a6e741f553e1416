"""Artefacts: what lies on the picture in every scene is reported where it is, never cut, and nothing else is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reel_ingest.borders import borders_of

HEIGHT, WIDTH = 270, 480
LOGO = (400, 220, 60, 30)


def scenery(seed, count=40):
    """A textured scene for every five frames, each frame a little further along; light and dark areas."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        if index % 5 == 0:
            coarse = rng.integers(40, 256, (9, 24, 3), dtype=np.uint8)
            scene = cv2.resize(coarse, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        along = int(rng.integers(0, WIDTH))
        yield scene[:, along : along + WIDTH].copy()


def with_logo(picture, opacity, colour=(255, 255, 255)):
    left, top, wide, high = LOGO
    layer = picture.copy()
    cv2.rectangle(layer, (left, top), (left + wide - 1, top + high - 1), colour, 3)
    cv2.putText(layer, "TV", (left + 12, top + 23), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 2)
    return cv2.addWeighted(layer, opacity, picture, 1 - opacity, 0)


def rounded(picture, radius=24, level=25):
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.rectangle(inside, (radius, 0), (WIDTH - radius - 1, HEIGHT), 1, -1)
    cv2.rectangle(inside, (0, radius), (WIDTH, HEIGHT - radius - 1), 1, -1)
    for x in (radius, WIDTH - radius - 1):
        for y in (radius, HEIGHT - radius - 1):
            cv2.circle(inside, (x, y), radius, 1, -1)
    return np.where(inside[..., None] > 0, picture, np.uint8(level))


def found(pictures):
    report, _ = borders_of(pictures)
    assert report.crop == (0, 0, 0, 0)
    return report.artefacts


def overlap(box, other):
    """Intersection over union of two boxes (left, top, width, height)."""
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right = min(box[0] + box[2], other[0] + other[2])
    bottom = min(box[1] + box[3], other[1] + other[3])
    shared = max(0, right - left) * max(0, bottom - top)
    return shared / (box[2] * box[3] + other[2] * other[3] - shared)


@pytest.mark.parametrize("opacity", [1.0, 0.5])
@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0)])
def test_a_logo_is_found_where_it_is(opacity, colour):
    [logo] = found(with_logo(picture, opacity, colour) for picture in scenery(1))
    assert logo.kind == "logo"
    assert overlap(logo.box, LOGO) > 0.7
    assert logo.constant_share >= 0.97


def test_a_logo_of_a_third_of_the_film_is_none():
    pictures = list(scenery(2))
    assert found([with_logo(p, 1.0) if i < 13 else p for i, p in enumerate(pictures)]) == []


@pytest.mark.parametrize("seed", range(4))
def test_scenery_alone_has_no_artefact(seed):
    assert found(scenery(seed)) == []


def test_a_still_picture_has_none_that_could_be_told():
    still = with_logo(next(scenery(3)), 1.0)
    assert found([still] * 40) == []


def test_a_logo_in_the_middle_is_part_of_the_film():
    assert found(np.roll(with_logo(p, 1.0), (-100, -190), axis=(0, 1)) for p in scenery(4)) == []


def test_rounded_corners_of_a_scan():
    corners = found(rounded(picture) for picture in scenery(5))
    assert [corner.kind for corner in corners] == ["rounded-corners"] * 4
    assert {(corner.box[0] > 200, corner.box[1] > 100) for corner in corners} == {
        (False, False), (True, False), (False, True), (True, True)
    }  # fmt: skip
    for corner in corners:
        assert all(12 <= side <= 26 for side in corner.box[2:]), corner


def test_corners_that_are_light_now_and_then_are_the_picture():
    assert found(rounded(p) if i % 8 else p for i, p in enumerate(scenery(6))) == []


def test_one_dark_corner_is_the_picture():
    pictures = []
    for picture in scenery(7):
        picture[:30, :30][np.add.outer(np.arange(30), np.arange(30)) < 28] = 10
        pictures.append(picture)
    assert found(pictures) == []


def test_inside_bars_a_logo_is_placed_in_the_whole_film():
    pictures = [cv2.copyMakeBorder(with_logo(p, 1.0), 40, 40, 0, 0, cv2.BORDER_CONSTANT) for p in scenery(8)]
    report, evidence = borders_of(pictures)
    assert report.crop == (42, 0, 42, 0)
    [logo] = report.artefacts
    left, top, wide, high = LOGO
    assert overlap(logo.box, (left, top + 40, wide, high)) > 0.7
    green = (evidence[..., 1] > 180) & (evidence[..., 0] < 90) & (evidence[..., 2] < 90)
    assert green.sum() > 100


def test_a_large_film_reports_its_own_pixels():
    large = [cv2.resize(with_logo(p, 1.0), (3 * WIDTH, 3 * HEIGHT)) for p in scenery(9, 16)]
    [logo] = found(large)
    assert overlap(logo.box, tuple(3 * value for value in LOGO)) > 0.7
