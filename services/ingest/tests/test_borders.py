"""Borders: bars of any colour are measured and shown; dark, plain or still pictures are not taken for bars."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reel_ingest.borders import SIDES, borders_of, measure_borders


def pad(picture, top, right, bottom, left, level=0):
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)), constant_values=level)


def framed(draw_frame, *bars, level=0):
    # The bar code lies at the lower edge; a varied picture does not.
    return [pad(draw_frame(i)[:76], *bars, level=level) for i in range(96)]


def rgb(luma):
    return np.repeat(luma[..., None], 3, axis=2)


def crop_of(lumas):
    return borders_of(map(rgb, lumas)).report.crop


def test_thin_borders_of_four_pixels(film, draw_frame):
    crop = measure_borders(film("thin.mp4", framed(draw_frame, 4, 4, 4, 4))).report.crop
    assert all(4 <= width <= 8 for width in crop), crop


@pytest.mark.parametrize(
    ("name", "bars"),
    [
        ("letterbox", (20, 0, 24, 0)),
        ("pillarbox", (0, 30, 0, 30)),
        ("both", (20, 30, 20, 30)),
        ("left", (0, 0, 0, 10)),
        ("none", (0, 0, 0, 0)),
    ],
)
def test_bars_are_measured_outward_and_even(film, draw_frame, name, bars):
    report = measure_borders(film(f"{name}.mp4", framed(draw_frame, *bars))).report
    for measured, true in zip(report.crop, bars, strict=True):
        assert measured == 0 if true == 0 else true + 1 <= measured <= true + 3
        assert measured % 2 == 0
    assert [bar.cut for bar in report.bars.values()] == [width > 0 for width in bars]
    assert tuple(report.bars) == SIDES
    assert (report.reason == "") == any(bars)


@pytest.mark.parametrize("colour", [(20, 60, 200), (255, 255, 255), (250, 20, 60)])
def test_bars_of_another_colour(film, draw_frame, colour):
    pictures = [pad(draw_frame(i)[:76], 0, 16, 0, 16) for i in range(96)]
    for picture in pictures:
        picture[:, :16] = picture[:, -16:] = colour
    report = measure_borders(film(f"colour-{colour[0]}.mp4", pictures)).report
    top, right, bottom, left = report.crop
    assert (top, bottom) == (0, 0)
    assert 17 <= left <= 19
    assert 17 <= right <= 19
    # Colour is stored at half the resolution, so the inner edge mixes in a little.
    assert np.abs(np.subtract(report.bars["left"].colour, colour)).max() <= 24


def test_a_long_film_is_measured_on_its_keyframes(film, draw_frame):
    pictures = framed(draw_frame, 12, 0, 12, 0)
    # One frame in 5 s: as long as a film in time, as short as a test in frames.
    path = film("long.mp4", pictures, times_ms=[5000 * i for i in range(96)], gop=1)
    report = measure_borders(path).report
    assert report.crop == (14, 0, 14, 0)
    assert report.sampled <= 40


def test_the_evidence_is_the_mean_picture_with_the_crop_drawn(film, draw_frame):
    report, evidence = measure_borders(film("evidence.mp4", framed(draw_frame, 20, 0, 20, 0)))
    assert report.crop == (22, 0, 22, 0)
    bar = report.bars["top"]
    assert (bar.pixels, bar.cut, max(bar.colour) <= 2) == (20, True, True)
    assert bar.agreement > 0.9
    assert bar.covered > 0.9
    assert evidence.shape == (116, 160, 3)
    assert evidence[:20].max() <= 8
    red, green, _ = evidence[22, 80]
    assert red > 200
    assert green < 80


def test_one_dark_scene_behind_bars_does_not_widen_them(draw_frame):
    lumas = [np.pad(draw_frame(i)[:76, :, 1], ((10, 10), (0, 0))) for i in range(40)]
    for luma in lumas[:15]:
        luma[:40] = 0
    assert crop_of(lumas) == (12, 0, 12, 0)


def test_nights_behind_bars_are_cut_like_the_other_side():
    """Black bars above and below a film whose skies are black in nine scenes of ten."""
    rng = np.random.default_rng(5)
    lumas = []
    for index in range(40):
        luma = rng.integers(60, 200, (96, 160)).astype(np.uint8)
        luma[:12] = luma[-12:] = 0
        if index % 10:
            luma[: int(rng.integers(12, 60))] = 0
        lumas.append(luma)
    assert crop_of(lumas) == (14, 0, 14, 0)


def test_a_film_of_nights_is_not_cut():
    """Black sky over roofs that stand still, one of them lit: nothing runs along the whole edge."""
    rng = np.random.default_rng(2)
    lumas = []
    for _ in range(40):
        luma = rng.integers(0, 8, (96, 160)).astype(np.uint8)
        luma[60:, :] = rng.integers(20, 160, (36, 160))
        luma[30:60, 70:100] = 180
        lumas.append(luma)
    assert crop_of(lumas) == (0, 0, 0, 0)


def test_skies_that_end_at_another_height_in_every_scene():
    rng = np.random.default_rng(3)
    lumas = []
    for _ in range(40):
        luma = rng.integers(0, 8, (96, 160)).astype(np.uint8)
        horizon = int(rng.integers(20, 80))
        luma[horizon:] = rng.integers(40, 200, (96 - horizon, 160))
        lumas.append(luma)
    lumas[7][3:] = 120
    lumas[20][1:] = 90
    assert crop_of(lumas) == (0, 0, 0, 0)


@pytest.mark.parametrize("level", [0, 210])
def test_a_sky_with_a_straight_horizon_is_no_bar(level):
    """Ground that moves along under one camera; the sky is the same in every frame, and wide."""
    rng = np.random.default_rng(6)
    ground = rng.integers(30, 180, (56, 400)).astype(np.uint8)
    lumas = [np.full((96, 160), level, np.uint8) for _ in range(40)]
    for index, luma in enumerate(lumas):
        luma[40:] = ground[:, 5 * index : 5 * index + 160]
    report = borders_of(map(rgb, lumas)).report
    assert report.crop == (0, 0, 0, 0)
    assert report.bars["top"].pixels == 40
    assert report.reason.startswith("top: too wide")


def test_a_bright_strip_at_the_bottom_is_the_picture():
    rng = np.random.default_rng(7)
    lumas = [np.zeros((96, 160), np.uint8) for _ in range(40)]
    for luma in lumas:
        luma[70:] = rng.integers(60, 220, (26, 160))
    assert crop_of(lumas) == (0, 0, 0, 0)


def test_one_camera_for_the_whole_clip(draw_frame):
    """Everything stands still; a strip of plain wall at the left and a plain floor."""
    still = draw_frame(0)[:76].copy()
    still[:, :12], still[-6:] = (200, 190, 180), (90, 60, 30)
    report, _ = borders_of([still] * 40)
    assert report.crop == (0, 0, 0, 0)
    assert "nothing moves behind it" in report.reason
    assert report.artefacts == []


def test_a_still_clip_in_even_bars_is_cut(draw_frame):
    assert borders_of([pad(draw_frame(0)[:76], 12, 0, 12, 0)] * 40).report.crop == (14, 0, 14, 0)


def test_credits_on_black_are_not_cut():
    """Lines of text that begin at the same column: nothing but black at their left, in every frame."""
    rng = np.random.default_rng(8)
    pictures = []
    for index in range(40):
        picture = np.zeros((120, 200, 3), np.uint8)
        for line in range(5):
            text = "".join(rng.choice(list("ABCDEFGHIKLMNOP "), 12))
            where = (24, 16 + 26 * line - index % 26)
            cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (240,) * 3, 1, cv2.LINE_AA)
        pictures.append(picture)
    assert borders_of(pictures).report.crop == (0, 0, 0, 0)


def test_a_film_that_fades_in_and_out(draw_frame):
    pictures = [(draw_frame(i)[:76] * min(1, i % 24 / 16)).astype(np.uint8) for i in range(96)]
    assert borders_of(pictures).report.crop == (0, 0, 0, 0)


def test_too_dark_to_tell(draw_frame):
    lumas = [np.pad(draw_frame(i)[:76, :, 1] // 8, ((10, 10), (0, 0))) for i in range(40)]
    report, evidence = borders_of(map(rgb, lumas))
    assert (report.crop, report.sampled, report.useful) == ((0, 0, 0, 0), 40, 0)
    assert (report.reason, evidence) == ("too few bright frames", None)
    assert borders_of([]).report.sampled == 0


def test_black_frames_between_say_nothing(draw_frame):
    lumas = [np.pad(draw_frame(i)[:76, :, 1], ((10, 10), (0, 0))) for i in range(40)]
    black = [np.zeros_like(lumas[0])] * 100
    report = borders_of(map(rgb, [*black, *lumas])).report
    assert (report.crop, report.sampled, report.useful) == ((12, 0, 12, 0), 140, 40)
