"""Photographs of people dressed as characters: what is held out of every training. Called by gallery."""

from __future__ import annotations

import cv2
import numpy as np

from reelsight.studio import restyle
from reelsight.studio.catalogue import Film
from reelsight.studio.drawings import arranged
from reelsight.studio.ink import Picture, fill, mixed, paint
from reelsight.studio.palettes import Colour, Manner, Palette
from reelsight.studio.shapes import ellipse

Rng = np.random.Generator
CLOTH = Manner(outline=0.0, shading="wash", grain=0.0, boil=0.0)
BLUR = 4  # what is out of focus is painted so many times smaller
LAMPS: tuple[Colour, ...] = ((200, 225, 255), (255, 235, 215), (225, 255, 240), (235, 215, 255))


def photograph(film: Film, rng: Rng) -> tuple[Picture, tuple[str, ...]]:
    """One visitor of a fair in costume, and the name of the character."""
    name = str(rng.choice(list(film.cast)))
    height = int(rng.integers(480, 760))
    width = round(height * rng.uniform(0.66, 0.9))
    figure = restyle.redrawn(film.cast[name](restyle.pose(rng)), rng, hand=0.6)
    picture = _hall(height, width, rng)
    lamp = LAMPS[int(rng.integers(len(LAMPS)))]
    for place in arranged([figure], height, width, rng):
        paint(picture, figure, place, _cloth(film.palette, rng), CLOTH)
    return _taken(picture, lamp, rng), (name,)


def _hall(height: int, width: int, rng: Rng) -> Picture:
    """What is behind, out of focus: a wall, a floor, lights and passers-by."""
    small_h, small_w = height // BLUR, width // BLUR
    wall, floor = ((int(b), int(g), int(r)) for b, g, r in rng.integers(50, 190, (2, 3)))
    picture: Picture = np.full((small_h, small_w, 3), wall, np.uint8)
    picture[round(small_h * rng.uniform(0.68, 0.82)) :] = floor
    for _ in range(int(rng.integers(6, 14))):
        spot = float(rng.uniform(0, small_w)), float(rng.uniform(0, small_h * 0.8))
        tone = (int(rng.integers(40, 256)), int(rng.integers(40, 256)), int(rng.integers(40, 256)))
        size = float(rng.uniform(0.03, 0.14)) * small_w
        fill(picture, ellipse(*spot, size, size * float(rng.choice([1.0, 2.4]))), tone)
    blurred = cv2.GaussianBlur(picture, (0, 0), small_w / 34)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _cloth(palette: Palette, rng: Rng) -> Palette:
    """The film's colours as far as the shop had such cloth."""
    bought: dict[str, Colour] = {}
    for name, tone in palette.items():
        other = tuple(int(part) for part in rng.integers(30, 226, 3))
        bought[name] = mixed(tone, (other[0], other[1], other[2]), float(rng.uniform(0.05, 0.3)))
    return bought


def _taken(picture: Picture, lamp: Colour, rng: Rng) -> Picture:
    """Light from one side, a lens that is not quite sharp, and the sensor's noise."""
    height, width = picture.shape[:2]
    soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.8, 1.4))).astype(np.float32)
    across = np.linspace(0.55, 1.1, width, dtype=np.float32)[None, :: 1 if rng.random() < 0.5 else -1, None]
    down = np.linspace(1.05, 0.75, height, dtype=np.float32)[:, None, None]
    soft *= across * down
    soft *= np.array(lamp, np.float32) / 255
    soft += 5 * rng.standard_normal(soft.shape, np.float32)
    noisy: Picture = np.clip(soft, 0, 255).astype(np.uint8)
    return noisy
