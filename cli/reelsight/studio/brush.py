"""Broad painting for backdrops: skies, ridges, seas, floors, and props put down by the dozen. Called by sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from reelsight.studio.ink import Picture, Placement, darker, fill, mixed, paint, stroke
from reelsight.studio.palettes import Colour, Manner, Palette
from reelsight.studio.shapes import Figure, Points, arc, curve, ellipse

Hour = Literal["day", "dusk", "night"]
Prop = Callable[[np.random.Generator], Figure]


@dataclass(frozen=True, slots=True)
class Brush:
    """What a set painter needs: the film's colours and manner, the hour, and the scene's own chance."""

    palette: Palette
    manner: Manner
    hour: Hour
    rng: np.random.Generator

    def colour(self, name: str) -> Colour:
        return self.palette[name]

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))


def wash(canvas: Picture, y0: float, y1: float, top: Colour, low: Colour) -> None:
    """A vertical gradient between two rows."""
    a, b = max(0, int(y0)), min(canvas.shape[0], int(y1))
    t = np.linspace(0, 1, max(1, b - a))[:, None, None]
    canvas[a:b] = np.array(top) * (1 - t) + np.array(low) * t


def sky(canvas: Picture, brush: Brush, *, horizon: float) -> None:
    """The hour's sky with its sun or moon; stars at night."""
    top, low = {"day": ("sky", "haze"), "dusk": ("dusk", "glow"), "night": ("night", "moonlit")}[brush.hour]
    wash(canvas, 0, horizon, brush.colour(top), brush.colour(low))
    width = canvas.shape[1]
    if brush.hour == "night":
        for _ in range(90):
            x, y = brush.between(0, width), brush.between(0, horizon * 0.9)
            fill(canvas, ellipse(x, y, brush.between(0.6, 1.7), steps=6), brush.colour("white"))
    x, y = brush.between(0.2, 0.8) * width, brush.between(0.2, 0.5) * horizon
    disc = brush.colour("white" if brush.hour == "night" else "glow")
    for radius, share in ((64, 0.86), (48, 0.7), (30, 0.0)):
        under = canvas[int(y), int(x)].tolist()
        fill(canvas, ellipse(x, y, radius), mixed(disc, (under[0], under[1], under[2]), share))


def clouds(canvas: Picture, brush: Brush, *, top: float, low: float, count: int = 6) -> None:
    light = brush.colour({"day": "white", "dusk": "light", "night": "moonlit"}[brush.hour])
    for _ in range(count):
        x, y, size = brush.between(0, canvas.shape[1]), brush.between(top, low), brush.between(14, 30)
        puffs = [ellipse(x + k * size, y - abs(np.cos(k * 1.3)) * size * 0.4, size * 1.05, size * 0.62)
                 for k in (-1.5, -0.6, 0.4, 1.3)]  # fmt: skip
        for p in puffs:
            fill(canvas, p + np.array((2, 5)), darker(light, 0.1))
        for p in puffs:
            fill(canvas, p, light)


def ridge_line(brush: Brush, width: int, *, base: float, rise: float, knots: int = 9) -> Points:
    heights = [(x, base - rise * brush.between(0, 1)) for x in np.linspace(-40, width + 40, knots)]
    return curve(*heights, closed=False, steps=8)


def ridge(canvas: Picture, brush: Brush, tone: Colour, *, base: float, rise: float, knots: int = 9) -> Points:
    """Hills: everything under a rolling line, a little lighter towards its foot."""
    height, width = canvas.shape[:2]
    line = ridge_line(brush, width, base=base, rise=rise, knots=knots)
    body = np.concatenate([line, [(width + 40, height + 20), (-40, height + 20)]])
    fill(canvas, body, tone)
    if brush.manner.shading == "paper":
        stroke(canvas, line + np.array((0, 3)), darker(tone, 0.3), 4)
        stroke(canvas, line, mixed(tone, brush.colour("white"), 0.25), 2)
    elif brush.manner.outline:
        stroke(canvas, line, darker(tone, 0.3), brush.manner.outline * 0.6)
    return line


def dapple(canvas: Picture, brush: Brush, tone: Colour, *, area: tuple[float, float, float, float],
           count: int, size: float) -> None:  # fmt: skip
    """Short strokes of the brush over an area (x0, y0, x1, y1): grass, bark, water, plaster."""
    x0, y0, x1, y1 = area
    for _ in range(count):
        x, y, w = brush.between(x0, x1), brush.between(y0, y1), brush.between(0.4, 1.0) * size
        fill(canvas, curve((x - w, y), (x, y - w * 0.18), (x + w, y), (x, y + w * 0.14), steps=3), tone)


def sea(canvas: Picture, brush: Brush, *, top: float, bottom: float) -> None:
    near = brush.colour("sea")
    wash(canvas, top, bottom, mixed(near, brush.colour("haze"), 0.45), darker(near, 0.12))
    foam = mixed(near, brush.colour("foam"), 0.6)
    for _ in range(70):
        depth = brush.between(0, 1) ** 0.7
        x, y, w = brush.between(0, canvas.shape[1]), top + 4 + depth * (bottom - top), 6 + 22 * depth
        stroke(canvas, arc(x, y, w, 2 + 4 * depth, start=190, end=350, steps=6), foam, 1 + depth * 1.4)


def floor(canvas: Picture, brush: Brush, tone: Colour, *, top: float, planks: int = 0) -> None:
    height, width = canvas.shape[:2]
    wash(canvas, top, height, tone, darker(tone, 0.25))
    for k in range(planks):
        x = (k + 0.5) * width / planks
        stroke(
            canvas, np.array([(x, top), (width / 2 + (x - width / 2) * 1.5, height)]), darker(tone, 0.35), 1
        )
    if planks:
        stroke(canvas, np.array([(0, top), (width, top)]), darker(tone, 0.5), 2)


def put(
    canvas: Picture, brush: Brush, figure: Figure, x: float, y: float, scale: float, *, flip: bool = False
) -> None:
    """A prop; outlines thinner than the characters', so that these stand out."""
    manner = replace(brush.manner, outline=brush.manner.outline * 0.62, boil=0.0)
    paint(canvas, figure, Placement(x, y, scale, flip), brush.palette, manner)


def scatter(canvas: Picture, brush: Brush, prop: Prop, *, count: int, y: tuple[float, float],
            scale: tuple[float, float], margin: float = 20) -> None:  # fmt: skip
    """Props along a strip, farther ones first and smaller."""
    rows = np.sort(brush.rng.uniform(0, 1, count))
    slots = (brush.rng.permutation(count) + brush.rng.uniform(0.2, 0.8, count)) / max(1, count)
    for depth, slot in zip(rows, slots, strict=True):
        x = margin + slot * (canvas.shape[1] - 2 * margin)
        size = scale[0] + (scale[1] - scale[0]) * depth
        put(canvas, brush, prop(brush.rng), x, y[0] + (y[1] - y[0]) * depth, size,
            flip=bool(brush.rng.integers(2)))  # fmt: skip


def glow(canvas: Picture, x: float, y: float, radius: int, tone: Colour, *, strength: float = 0.5) -> None:
    """A soft pool of light."""
    x0, y0 = max(0, int(x) - radius), max(0, int(y) - radius)
    x1, y1 = min(canvas.shape[1], int(x) + radius), min(canvas.shape[0], int(y) + radius)
    if x1 <= x0 or y1 <= y0:
        return
    gy, gx = np.mgrid[y0:y1, x0:x1]
    near = np.clip(1 - np.hypot(gx - x, gy - y) / radius, 0, 1)[..., None] ** 2 * strength
    part = canvas[y0:y1, x0:x1]
    part[:] = cv2.add((part * (1 - near)).astype(np.uint8), (np.array(tone) * near).astype(np.uint8))
