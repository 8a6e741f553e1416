"""Bars around a screenshot are found, white paper and night skies are not, and a copy with bars is found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg

from reel_ingest import bars
from reel_ingest.bars import without_bars
from reel_ingest.duplicates import distance
from reel_ingest.hashing import phash

SHAPES = {
    "above and below": (30, 30, 0, 0),
    "one side": (0, 0, 40, 0),
    "a frame": (16, 16, 16, 16),
    "thin": (4, 4, 0, 0),
}


def scene(seed):
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, (300, 200), interpolation=cv2.INTER_CUBIC)


def with_bars(image, sides, level):
    return cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=(level,) * 3)


def sketch():
    paper = np.full((200, 300, 3), 252, np.uint8)
    cv2.circle(paper, (150, 100), 60, (90, 90, 90), 2)
    cv2.line(paper, (20, 180), (280, 170), (120, 120, 120), 2)
    return paper


def night():
    sky = np.random.default_rng(0).integers(0, 9, (200, 300, 3), dtype=np.uint8)
    sky[140:, 100:180] = 150
    return sky


@pytest.mark.parametrize("level", [0, 6, 250, 255])
@pytest.mark.parametrize("sides", SHAPES.values(), ids=SHAPES)
def test_bars_are_cut_to_the_pixel(sides, level):
    inside = without_bars(with_bars(scene(1), sides, level))
    assert inside is not None
    assert np.array_equal(inside, scene(1))


@pytest.mark.parametrize("sides", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_a_copy_with_bars_scaled_and_compressed_has_the_hash_of_its_original(sides, seed):
    copy = with_bars(scene(seed), sides, 0)
    copy = cv2.resize(copy, None, fx=0.73, fy=0.73, interpolation=cv2.INTER_AREA)
    copy = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(copy, quality=70))
    inside = without_bars(copy)
    assert inside is not None
    assert distance(phash(inside), phash(scene(seed))) <= 6


def test_a_sketch_on_white_paper_between_black_bars_keeps_its_paper():
    inside = without_bars(with_bars(sketch(), (30, 30, 0, 0), 0))
    assert np.array_equal(inside, sketch())


@pytest.mark.parametrize(
    "image",
    [
        scene(2),
        sketch(),
        night(),
        np.zeros((90, 120, 3), np.uint8),
        np.full((90, 120, 3), 255, np.uint8),
        np.full((1, 1, 3), 0, np.uint8),
        with_bars(scene(3), (500, 500, 0, 0), 0),
        with_bars(scene(3), (30, 30, 0, 0), 128),
    ],
    ids=["none", "paper", "night", "black", "white", "one pixel", "hardly anything inside", "grey bars"],
)
def test_nothing_is_cut(image):
    assert without_bars(image) is None


def test_grey_pictures():
    grey = cv2.cvtColor(scene(1), cv2.COLOR_RGB2GRAY)
    assert np.array_equal(without_bars(np.pad(grey, ((20, 20), (0, 0)))), grey)


@pytest.mark.parametrize("level", [0, 8, 20, 22, 128, 234, 236, 255])
@pytest.mark.parametrize("size", [(200, 300), (97, 641), (300, 512), (2, 700), (1, 9)])
def test_the_outermost_lines_tell_what_all_lines_would(size, level):
    rng = np.random.default_rng(level)
    for grain in (1, 6, 14):
        grey = rng.integers(0, 256, size, dtype=np.uint8)
        for count in (0, 1, 2, 3, size[0] // 4):
            lines = rng.integers(0, grain, grey[:count].shape) + level
            grey[:count] = np.clip(lines, 0, 255)
            narrow = bars._narrow(grey)
            assert bars._both_ends(grey) == (bars._bar(narrow), bars._bar(narrow[::-1]))
