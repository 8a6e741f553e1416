"""The outlines every drawing is made of: closed curves, tapered limbs, stars. Called by casts and sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]  # (n, 2): x to the right, y down
Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Shape:
    """One inked outline: `fill` and `ink` are palette keys, `line` scales the film's outline weight."""

    points: Points
    fill: str | None
    line: float = 1.0
    closed: bool = True
    shade: bool = False
    ink: str = "ink"

    def moved(self, points: Points) -> Shape:
        return Shape(points, self.fill, self.line, self.closed, self.shade, self.ink)


Figure = list[Shape]


def polygon(*corners: tuple[float, float]) -> Points:
    return np.array(corners, dtype=np.float64)


def ellipse(
    x: float, y: float, rx: float, ry: float | None = None, *, turn: float = 0.0, steps: int = 26
) -> Points:
    """Turn is in degrees, clockwise on screen."""
    ring = _circle(steps) * (rx, rx if ry is None else ry)
    placed: Points = (rotated(ring, turn) if turn else ring) + (x, y)
    return placed


def arc(x: float, y: float, rx: float, ry: float, *, start: float, end: float, steps: int = 12) -> Points:
    """An open curve from `start` to `end` degrees, 0 to the right and 90 down."""
    placed: Points = _bow(end - start, steps) @ _turn(start) * (rx, ry) + (x, y)
    return placed


# Thousands of figures are made of few different circles, arcs and curves: what does not depend on their place is kept.
@lru_cache
def _circle(steps: int) -> Points:
    angles = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@lru_cache
def _bow(degrees: float, steps: int) -> Points:
    """The part of the unit circle from 0 to these degrees."""
    angles = np.radians(np.linspace(0, degrees, steps))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _turn(degrees: float) -> Points:
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s], [-s, c]])


def rotated(points: Points, degrees: float, about: tuple[float, float] = (0.0, 0.0)) -> Points:
    turned: Points = (points - about) @ _turn(degrees) + about
    return turned


def curve(*knots: tuple[float, float], closed: bool = True, steps: int = 6) -> Points:
    """A Catmull-Rom curve through the knots."""
    k = np.array(knots, dtype=np.float64)
    ring = np.concatenate([k[-1:], k, k[:2]] if closed else [k[:1], k, k[-1:]])
    count = len(ring) - 3
    around = np.concatenate([ring[i : count + i] for i in range(4)], axis=1)  # the 4 knots of each span
    flat: Points = (around @ _catmull_rom(steps)).reshape(-1, 2)
    return flat if closed else np.concatenate([flat, k[-1:]])


@lru_cache
def _catmull_rom(steps: int) -> Points:
    """The matrix (8, 2 * steps) that makes a span's points of the x and y of its 4 knots."""
    t = np.linspace(0, 1, steps, endpoint=False)
    weights = 0.5 * np.array(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    )
    both = np.zeros((8, 2 * steps))
    both[::2, ::2] = both[1::2, 1::2] = weights
    return both


def tube(path: Points | Pairs, radii: Sequence[float]) -> Points:
    """The outline of a limb along `path` whose thickness goes through `radii`, with a round end."""
    p = np.asarray(path, dtype=np.float64)
    r = _between(tuple(radii), len(p))
    along = np.concatenate([p[1:2] - p[:1], p[2:] - p[:-2], p[-1:] - p[-2:-1]])
    along /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-6)
    side = along[:, ::-1] * (-1, 1) * r[:, None]
    half = _bow(-180, 7)  # from one side around the end to the other
    (a, b), (c, d) = side[-1], side[0]
    tip = half @ ((a, b), (-b, a)) + p[-1]
    root = half @ ((-c, -d), (d, -c)) + p[0]
    return np.concatenate([p + side, tip, (p - side)[::-1], root])


@lru_cache(maxsize=1024)
def _between(radii: tuple[float, ...], count: int) -> npt.NDArray[np.float64]:
    """So many radii, evenly through those given."""
    given = np.linspace(0, 1, len(radii))
    spread: npt.NDArray[np.float64] = np.interp(np.linspace(0, 1, count), given, radii)
    return spread


def limb(
    root: tuple[float, float], bend: tuple[float, float], end: tuple[float, float], radii: Sequence[float]
) -> Points:
    return tube(curve(root, bend, end, closed=False, steps=5), radii)


def star(x: float, y: float, radius: float, *, inner: float = 0.45, tips: int = 5, turn: float = 0) -> Points:
    angles = np.radians(turn - 90) + np.arange(2 * tips) * np.pi / tips
    r = np.where(np.arange(2 * tips) % 2 == 0, radius, radius * inner)
    return np.stack([x + r * np.cos(angles), y + r * np.sin(angles)], axis=1)


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> Points:
    """A box with round corners."""
    corners = [(x1, y0, -90), (x1, y1, 0), (x0, y1, 90), (x0, y0, 180)]
    sx, sy = (x0 + x1) / 2, (y0 + y1) / 2
    return np.concatenate(
        [
            arc(x + np.sign(sx - x) * radius, y + np.sign(sy - y) * radius, radius, radius,
                start=a, end=a + 90, steps=5)
            for x, y, a in corners
        ]
    )  # fmt: skip
