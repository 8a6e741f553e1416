"""Borders of films drawn at random: what was planted is found to the pixel, and nothing else is ever cut."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reel_ingest.borders import borders_of

HEIGHT, WIDTH, FRAMES = 96, 160, 40
SCENERY = ("plain", "night", "dark", "fade", "sky", "still", "strip", "credits")
SEEDS = range(3)


def backdrop(rng):
    coarse = rng.integers(20, 236, (int(rng.integers(3, 7)), int(rng.integers(4, 9)), 3), dtype=np.uint8)
    method = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=method)


def film(rng, scenery):
    """Forty sampled frames of a few scenes; a ball crosses every one."""
    scene, horizon = backdrop(rng), int(HEIGHT * rng.uniform(0.2, 0.6))
    sky = rng.integers(60, 250, 3)
    for index in range(FRAMES):
        if index % 6 == 0 and scenery != "still":
            scene = backdrop(rng)
            if scenery == "night" and rng.random() < 0.7:
                top = int(HEIGHT * rng.uniform(0.15, 0.85))
                scene[:top] = rng.integers(0, 8, (top, WIDTH, 3))
        picture = scene.copy() if scenery == "still" else np.roll(scene, int(rng.integers(-9, 9)), axis=1)
        if scenery == "dark" and index % 4:
            picture //= 12
        if scenery == "fade":
            picture = (picture * min(1, index % 10 / 6)).astype(np.uint8)
        if scenery == "sky":
            picture[:horizon] = sky
        if scenery == "strip":
            picture[: HEIGHT * 7 // 10] = rng.integers(0, 6, (HEIGHT * 7 // 10, WIDTH, 3))
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        cv2.circle(picture, (4 * index % WIDTH, int(HEIGHT * rng.uniform(0.3, 0.7))), 9, colour, -1)
        if scenery == "credits":
            picture[:] = 0
            for line in range(4):
                text = "".join(rng.choice(list("ABCDEFGHIKLM "), int(rng.integers(5, 11))))
                where = (int(rng.integers(12, 30)), 18 + 24 * line - index % 24)
                cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230,) * 3, 1, cv2.LINE_AA)
        yield picture


def bars(rng):
    """Widths top, right, bottom, left, and a colour that no scene has much of."""
    wide, thin = int(rng.integers(6, 30)), int(rng.integers(1, 5))
    uneven = wide + int(rng.integers(-wide // 3, wide // 3 + 1))
    shapes = [
        (wide, 0, wide, 0),
        (0, wide, 0, wide),
        (wide,) * 4,
        (thin,) * 4,
        (wide, 0, uneven, 0),
        (0, 0, 0, thin),
    ]
    colours = [(0, 0, 0), (0, 0, 0), (255, 255, 255), (2, 2, 60)]
    return shapes[int(rng.integers(len(shapes)))], colours[int(rng.integers(len(colours)))]


def noisy(rng, pictures):
    spread = rng.uniform(0, 2)
    for picture in pictures:
        yield np.clip(picture + rng.normal(0, spread, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenery", SCENERY)
def test_nothing_is_cut_where_nothing_was_planted(scenery, seed):
    rng = np.random.default_rng((seed, SCENERY.index(scenery)))
    assert borders_of(noisy(rng, film(rng, scenery))).report.crop == (0, 0, 0, 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenery", ["plain", "dark", "fade"])
def test_planted_bars_are_found_to_the_pixel(scenery, seed):
    rng = np.random.default_rng((seed, SCENERY.index(scenery), 1))
    (top, right, bottom, left), colour = bars(rng)
    planted = [
        cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour)
        for picture in film(rng, scenery)
    ]
    report = borders_of(noisy(rng, planted)).report
    assert [bar.pixels if bar.cut else 0 for bar in report.bars.values()] == [top, right, bottom, left]
    for width, cut in zip((top, right, bottom, left), report.crop, strict=True):
        assert cut == 0 if width == 0 else width < cut <= width + 3
