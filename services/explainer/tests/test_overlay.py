"""What the drawn pictures show."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from reel_explainer.overlay import guided_picture, heat_overlay, npy, png, stretched_picture
from reel_networks.colormaps import COLORMAPS
from reel_networks.magma import MAGMA


def pixels(drawn: np.ndarray) -> np.ndarray:
    """As they come out of the file."""
    assert drawn.dtype == np.uint8
    image = Image.open(io.BytesIO(png(drawn)))
    assert (image.format, image.mode) == ("PNG", "RGB")
    np.testing.assert_array_equal(np.array(image), drawn)
    return np.array(image)


def test_heat_lies_over_its_place() -> None:
    picture = np.full((60, 90, 3), 100, np.uint8)
    heat = np.zeros((3, 3), np.float32)
    heat[0, 2] = 1.0
    drawn = pixels(heat_overlay(picture, heat, alpha=1.0))
    assert drawn.shape == picture.shape
    np.testing.assert_array_equal(drawn[0, -1], MAGMA[255])
    np.testing.assert_array_equal(drawn[-1, 0], MAGMA[0])
    between = drawn[10, 60].astype(int).sum()  # halfway from the hot cell's middle to the cold one's
    assert MAGMA[0].sum() < between < MAGMA[255].astype(int).sum()


def test_alpha_blends_picture_and_colour() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    heat = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(pixels(heat_overlay(picture, heat, alpha=0.0)), picture)
    half = pixels(heat_overlay(picture, heat, alpha=0.5))
    assert np.abs(half - (picture / 2 + MAGMA[255] / 2)).max() <= 0.5


def test_guided_picture_is_grey_where_nothing_is() -> None:
    gradient = np.zeros((3, 40, 50), np.float32)
    gradient[:, 0, :20], gradient[0, 3, 4] = 0.002, -0.001
    drawn = pixels(guided_picture(gradient))
    assert drawn.shape == (40, 50, 3)
    assert (drawn[0, :20] == 255).all()
    assert drawn[3, 4].tolist() == [64, 128, 128]
    assert (drawn[4:] == 128).all()
    assert (pixels(guided_picture(np.zeros((3, 4, 5), np.float32))) == 128).all()


def test_one_extreme_pixel_does_not_hide_the_others() -> None:
    gradient = np.random.default_rng(0).normal(0, 0.001, (3, 40, 50)).astype(np.float32)
    gradient[0, 0, 0] = 5.0
    drawn = pixels(guided_picture(gradient))
    assert drawn[0, 0, 0] == 255
    assert drawn[5:].std() > 30


def test_interpolation_and_colours_may_be_chosen() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    heat = np.array([[0, 1], [0, 0]], np.float32)
    hard = heat_overlay(picture, heat, alpha=1.0, interpolation="nearest")
    assert len(np.unique(hard.reshape(-1, 3), axis=0)) == 2
    assert len(np.unique(heat_overlay(picture, heat, alpha=1.0).reshape(-1, 3), axis=0)) > 10
    for name, table in COLORMAPS.items():
        drawn = heat_overlay(picture, heat, alpha=1.0, colormap=name, interpolation="nearest")
        np.testing.assert_array_equal(drawn[0, -1], table[255])
        np.testing.assert_array_equal(drawn[-1, 0], table[0])


@pytest.mark.parametrize("name", sorted(set(COLORMAPS)))
def test_the_colours_are_those_of_matplotlib(name: str) -> None:
    theirs = matplotlib.colormaps[name](np.arange(256))[:, :3] * 255
    assert np.abs(COLORMAPS[name] - theirs).max() <= 0.5 + 1e-6


def test_arrays_are_read_back_without_pickle() -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(np.load(io.BytesIO(npy(values)), allow_pickle=False), values)


def test_stretched_values_become_channels() -> None:
    values = np.zeros((3, 2, 2), np.float32)
    values[1, 0, 1] = 1.0
    assert stretched_picture(values)[0, 1].tolist() == [0, 255, 0]
