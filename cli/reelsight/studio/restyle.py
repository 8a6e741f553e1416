"""What another hand changes in a character: proportions, line, colours, paper. Called by drawings."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import numpy.typing as npt

from reelsight.studio.anatomy import Pose
from reelsight.studio.ink import Picture, mixed
from reelsight.studio.palettes import Colour, Palette
from reelsight.studio.shapes import Figure, Points

Rng = np.random.Generator

PAPERS: tuple[Colour, ...] = (
    (255, 255, 255), (250, 252, 253), (225, 240, 247), (214, 226, 232), (170, 205, 226), (236, 226, 210),
    (216, 236, 222), (222, 214, 240),
)  # fmt: skip
_KEPT = ("ink", "white")


def pose(rng: Rng) -> Pose:
    return Pose(
        phase=float(rng.uniform()),
        stride=float(rng.choice([0.0, 0.0, 0.6, 1.0, 1.3])),
        reach=float(rng.choice([0.0, 0.0, 0.5, 1.0])),
        look=float(rng.uniform(-1, 1)),
        blink=float(rng.random() < 0.12),
        mouth=float(rng.choice([0.0, 0.0, 0.6, 1.0])),
        head=float(rng.choice([0.9, 1.0, 1.0, 1.15, 1.35, 1.55])),
    )


def redrawn(figure: Figure, rng: Rng, *, hand: float) -> Figure:
    """The figure in another artist's proportions; `hand` is how far a line strays, in units."""
    wide, tall = rng.uniform(0.86, 1.18), rng.uniform(0.88, 1.12)
    shear, bend = rng.uniform(-0.14, 0.14), rng.uniform(-0.0012, 0.0012)
    phases = rng.uniform(0, 2 * np.pi, 4)
    waves = rng.uniform(0.05, 0.12, 4)

    def moved(points: Points) -> Points:
        x, y = points[:, 0] * wide, points[:, 1] * tall
        x = x + shear * y + bend * y * y
        dx = np.sin(y * waves[0] + phases[0]) + 0.6 * np.sin(x * waves[1] + phases[1])
        dy = np.sin(x * waves[2] + phases[2]) + 0.6 * np.sin(y * waves[3] + phases[3])
        strayed: Points = np.stack([x + hand * dx, y + hand * dy], axis=1)
        return strayed

    return [shape.moved(moved(shape.points)) for shape in figure]


def luminance(colour: Colour) -> float:
    return (0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]) / 255


def greys(palette: Palette, *, tint: Colour, light: float) -> Palette:
    """The palette as a wash of one ink; `light` lifts the dark tones."""
    white = (255, 255, 255)
    return {
        name: mixed(tint, white, min(1.0, light + (1 - light) * luminance(tone) ** 0.8))
        if name != "ink"
        else mixed(tint, (0, 0, 0), 0.35)
        for name, tone in palette.items()
    }


def recoloured(palette: Palette, rng: Rng) -> Palette:
    """Other colours for the same drawing: hues turned, or swapped among the swatches, or paled."""
    turn = rng.uniform(0.12, 0.88) if rng.random() < 0.7 else 0.0
    strength, lift = rng.uniform(0.5, 1.3), rng.uniform(0.8, 1.15)
    names = [name for name in palette if name not in _KEPT]
    source = dict(palette)
    if turn == 0.0 or rng.random() < 0.35:
        swapped = rng.permutation(len(names))
        source.update({name: palette[names[int(k)]] for name, k in zip(names, swapped, strict=True)})
    made = {name: _turned(source[name], turn, strength, lift) for name in names}
    return {**source, **made}


def _turned(colour: Colour, turn: float, strength: float, lift: float) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(colour[2] / 255, colour[1] / 255, colour[0] / 255)
    r, g, b = colorsys.hsv_to_rgb((hue + turn) % 1, min(1, saturation * strength), min(1, value * lift))
    return round(b * 255), round(g * 255), round(r * 255)


def paper(height: int, width: int, tone: Colour, rng: Rng, *, tooth: float) -> Picture:
    """A sheet with a little grain; one side is a little darker, as photographed sheets are."""
    grain = rng.normal(0, tooth, (height, width, 1))
    slope = np.linspace(0, rng.uniform(-14, 4), width)[None, :, None]
    sheet: Picture = np.clip(np.array(tone) + grain + slope, 0, 255).astype(np.uint8)
    return sheet


def hatching(height: int, width: int, rng: Rng, *, gap: int) -> npt.NDArray[np.uint8]:
    """Parallel pencil strokes over a whole sheet, 255 where the pencil touched."""
    sheet = np.zeros((height, width), np.uint8)
    slant = rng.uniform(0.5, 1.3)
    for x in range(-int(height * slant), width, gap):
        start = (x + int(rng.integers(-2, 3)), 0)
        cv2.line(sheet, start, (x + int(height * slant), height), 255, 1, cv2.LINE_AA)
    return sheet
