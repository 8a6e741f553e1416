"""Borders: bars are measured, dark pictures are not taken for bars."""

from __future__ import annotations

import numpy as np
import pytest

from reel_ingest.borders import Borders, borders_of, measure_borders


def pad(picture, top, right, bottom, left, level=0):
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)), constant_values=level)


def framed(draw_frame, *bars, level=0):
    # The bar code lies at the lower edge; a varied picture does not.
    return [pad(draw_frame(i)[:76], *bars, level=level) for i in range(96)]


def test_thin_borders_of_four_pixels(film, draw_frame):
    borders = measure_borders(film("thin.mp4", framed(draw_frame, 4, 4, 4, 4)))
    assert all(4 <= width <= 8 for width in borders), borders


@pytest.mark.parametrize(
    ("name", "bars"),
    [
        ("letterbox", (20, 0, 24, 0)),
        ("pillarbox", (0, 30, 0, 30)),
        ("left", (0, 0, 0, 10)),
        ("none", (0, 0, 0, 0)),
    ],
)
def test_bars_are_measured_outward_and_even(film, draw_frame, name, bars):
    borders = measure_borders(film(f"{name}.mp4", framed(draw_frame, *bars)))
    for measured, true in zip(borders, bars, strict=True):
        assert measured == 0 if true == 0 else true + 1 <= measured <= true + 4
        assert measured % 2 == 0


def test_bars_of_another_colour(film, draw_frame):
    top, right, bottom, left = measure_borders(film("blue.mp4", framed(draw_frame, 0, 16, 0, 16, level=60)))
    assert (top, bottom) == (0, 0)
    assert 17 <= left <= 20
    assert 17 <= right <= 20


def test_a_long_film_is_measured_on_its_keyframes(film, draw_frame):
    pictures = framed(draw_frame, 12, 0, 12, 0)
    # One frame in 5 s: as long as a film in time, as short as a test in frames.
    path = film("long.mp4", pictures, times_ms=[5000 * i for i in range(96)], gop=1)
    borders = measure_borders(path)
    assert borders == Borders(14, 0, 14, 0)


def test_one_dark_scene_behind_bars_does_not_widen_them(draw_frame):
    lumas = [np.pad(draw_frame(i)[:76, :, 1], ((10, 10), (0, 0))) for i in range(40)]
    for luma in lumas[:15]:
        luma[:40] = 0
    assert borders_of(lumas) == Borders(12, 0, 12, 0)


def test_a_film_of_nights_is_not_cut(draw_frame):
    """Black sky over roofs that stand still, one of them lit: nothing runs along the whole edge."""
    rng = np.random.default_rng(2)
    lumas = []
    for _ in range(40):
        luma = rng.integers(0, 8, (96, 160)).astype(np.uint8)
        luma[60:, :] = rng.integers(20, 160, (36, 160))
        luma[30:60, 70:100] = 180
        lumas.append(luma)
    assert borders_of(lumas) == Borders()


def test_skies_that_end_at_another_height_in_every_scene(draw_frame):
    rng = np.random.default_rng(3)
    lumas = []
    for _ in range(40):
        luma = rng.integers(0, 8, (96, 160)).astype(np.uint8)
        horizon = int(rng.integers(20, 80))
        luma[horizon:] = rng.integers(40, 200, (96 - horizon, 160))
        lumas.append(luma)
    lumas[7][3:] = 120
    lumas[20][1:] = 90
    assert borders_of(lumas) == Borders()


def test_too_dark_to_tell(draw_frame):
    lumas = [np.pad(draw_frame(i)[:76, :, 1] // 8, ((10, 10), (0, 0))) for i in range(40)]
    assert borders_of(lumas) == Borders()
    assert borders_of([]) == Borders()


def test_black_frames_between_say_nothing(draw_frame):
    lumas = [np.pad(draw_frame(i)[:76, :, 1], ((10, 10), (0, 0))) for i in range(40)]
    black = [np.zeros_like(lumas[0])] * 100
    assert borders_of([*black, *lumas]) == Borders(12, 0, 12, 0)
