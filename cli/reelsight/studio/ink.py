"""Paints figures the way a film is drawn: fill, shading, outline. Called by films, sets and fan art."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from reelsight.studio.palettes import Colour, Manner, Palette
from reelsight.studio.shapes import Figure, Points, Shape

Picture = npt.NDArray[np.uint8]  # (height, width, 3), blue green red
SHIFT = 4  # OpenCV draws at 1/16 pixel


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a figure stands on the picture, in pixels; it faces left when `flip`."""

    x: float
    y: float
    scale: float
    flip: bool = False
    tilt: float = 0.0  # degrees
    squash: float = 0.0  # 0.2 is a fifth flatter and wider

    def apply(self, points: Points) -> Points:
        wide, tall = self.scale * (1 + self.squash * 0.6), self.scale * (1 - self.squash)
        angle = np.radians(self.tilt)
        sign = -1.0 if self.flip else 1.0
        matrix = np.array(
            [
                [sign * wide * np.cos(angle), wide * np.sin(angle)],
                [-sign * tall * np.sin(angle), tall * np.cos(angle)],
            ]
        )
        placed: Points = points @ matrix + (self.x, self.y)
        return placed


def fixed(points: Points) -> npt.NDArray[np.int32]:
    near: Points = np.minimum(np.maximum(points, -4000), 4000)
    return np.rint(near * (1 << SHIFT)).astype(np.int32)


def darker(colour: Colour, by: float) -> Colour:
    return int(colour[0] * (1 - by)), int(colour[1] * (1 - by)), int(colour[2] * (1 - by))


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`share` 0 is a, 1 is b."""
    m = [round(p * (1 - share) + q * share) for p, q in zip(a, b, strict=True)]
    return m[0], m[1], m[2]


def fill(canvas: Picture, points: Points, colour: Colour) -> None:
    cv2.fillPoly(canvas, [fixed(points)], colour, cv2.LINE_AA, SHIFT)


def stroke(canvas: Picture, points: Points, colour: Colour, width: float, *, closed: bool = False) -> None:
    cv2.polylines(canvas, [fixed(points)], closed, colour, max(1, round(width)), cv2.LINE_AA, SHIFT)


def tremble(points: Points, amount: float, beat: int) -> Points:
    """A held drawing is traced anew each time: a small smooth displacement that changes with the beat."""
    wave = np.stack(
        [np.sin(points[:, 1] * 0.11 + beat * 2.1), np.sin(points[:, 0] * 0.13 + beat * 1.7 + 1.3)], axis=1
    )
    shaken: Points = points + wave * amount
    return shaken


def window(canvas: Picture, points: Points, margin: float) -> tuple[int, int, int, int] | None:
    """The box (x0, y0, x1, y1) of the points within the picture; None when there is hardly any."""
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
    x1, y1 = min(canvas.shape[1], int(high[0]) + 1), min(canvas.shape[0], int(high[1]) + 1)
    return (x0, y0, x1, y1) if x1 - x0 > 3 and y1 - y0 > 3 else None


def dots(height: int, width: int, pitch: int = 5) -> npt.NDArray[np.uint8]:
    """A halftone screen: 255 inside the dots."""
    y, x = np.mgrid[0:height, 0:width]
    inside = ((x + (y // pitch % 2) * (pitch // 2 + 1)) % pitch < 2) & (y % pitch < 2)
    screen: npt.NDArray[np.uint8] = np.where(inside, 255, 0).astype(np.uint8)
    return screen


_SCREEN = dots(1200, 1600)


def shade(canvas: Picture, points: Points, manner: Manner, *, strength: float = 0.24) -> None:
    """Darken the side of a shape that the light, from the upper left, does not reach."""
    area = window(canvas, points, 1)
    if area is None:
        return
    x0, y0, x1, y1 = area
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    size = float(np.min(points.max(axis=0) - points.min(axis=0)))
    inside = points - (x0, y0)
    cv2.fillPoly(mask, [fixed(inside)], 255, cv2.LINE_AA, SHIFT)
    lit = np.zeros_like(mask)
    cv2.fillPoly(lit, [fixed(inside - (size * 0.16, size * 0.12))], 255, cv2.LINE_AA, SHIFT)
    if manner.shading == "wash":
        lit = cv2.blur(lit, (2 * int(size * 0.12) + 1,) * 2).astype(np.uint8)
    crescent: npt.NDArray[np.uint8] = np.asarray(cv2.subtract(mask, lit), np.uint8)
    if manner.shading == "dots":
        crescent &= _SCREEN[y0:y1, x0:x1]
        strength = 0.45
    darken(canvas[y0:y1, x0:x1], crescent, strength)


def darken(part: Picture, mask: npt.NDArray[np.uint8], strength: float) -> None:
    """Take `strength` of the light away where the mask is 255, in place."""
    keep = cv2.cvtColor(cv2.convertScaleAbs(mask, alpha=-strength, beta=255), cv2.COLOR_GRAY2BGR)
    cv2.multiply(part, keep, part, 1 / 255)


def drop_shadow(canvas: Picture, outlines: list[Points], *, offset: float, strength: float = 0.35) -> None:
    """The soft shadow that a cut-out throws on the paper behind it."""
    every = np.concatenate(outlines)
    area = window(canvas, every, offset * 3)
    if area is None:
        return
    x0, y0, x1, y1 = area
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for points in outlines:
        cv2.fillPoly(mask, [fixed(points - (x0 - offset, y0 - offset))], 255, cv2.LINE_AA, SHIFT)
    mask = cv2.blur(mask, (2 * max(1, int(offset)) + 1,) * 2).astype(np.uint8)
    darken(canvas[y0:y1, x0:x1], mask, strength)


def paint(
    canvas: Picture, figure: Figure, placement: Placement, palette: Palette, manner: Manner, *, beat: int = 0
) -> None:
    """Draw a figure onto the picture."""
    weight = manner.outline * min(2.2, max(0.55, placement.scale**0.7))
    points = placement.apply(np.concatenate([shape.points for shape in figure]))
    if manner.boil:
        points = tremble(points, manner.boil * min(1.5, placement.scale), beat)
    ends = np.cumsum([len(shape.points) for shape in figure[:-1]])
    placed = list(zip(figure, np.split(points, ends), strict=True))
    if manner.shading == "paper":
        solid = [p for s, p in placed if s.fill and s.closed]
        drop_shadow(canvas, solid, offset=max(2.0, 5 * placement.scale))
    for shape, points in placed:
        _paint_shape(canvas, shape, points, palette, manner, weight, placement.scale)


def _paint_shape(
    canvas: Picture,
    shape: Shape,
    points: Points,
    palette: Palette,
    manner: Manner,
    weight: float,
    scale: float,
) -> None:
    ink = palette[shape.ink]
    if shape.fill:
        base = palette[shape.fill]
        if manner.shading == "paper" and shape.line > 0.5:
            fill(canvas, points + scale * 1.3, darker(base, 0.4))
        fill(canvas, points, base)
        if shape.shade and manner.shading != "paper":
            shade(canvas, points, manner)
    if not shape.line:
        return
    if manner.outline:
        stroke(canvas, points, ink, weight * shape.line, closed=shape.closed)
    elif not shape.fill:
        stroke(canvas, points, ink, 2.4 * min(2.0, scale) * shape.line, closed=shape.closed)
