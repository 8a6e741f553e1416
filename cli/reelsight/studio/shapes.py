"""The outlines every drawing is made of: closed curves, tapered limbs, stars. Called by casts and sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
        return replace(self, points=points)


Figure = list[Shape]


def polygon(*corners: tuple[float, float]) -> Points:
    return np.array(corners, dtype=np.float64)


def ellipse(
    x: float, y: float, rx: float, ry: float | None = None, *, turn: float = 0.0, steps: int = 26
) -> Points:
    """Turn is in degrees, clockwise on screen."""
    angles = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    ring = np.stack([rx * np.cos(angles), (rx if ry is None else ry) * np.sin(angles)], axis=1)
    placed: Points = rotated(ring, turn) + np.array((x, y))
    return placed


def arc(x: float, y: float, rx: float, ry: float, *, start: float, end: float, steps: int = 12) -> Points:
    """An open curve from `start` to `end` degrees, 0 to the right and 90 down."""
    angles = np.radians(np.linspace(start, end, steps))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def rotated(points: Points, degrees: float, about: tuple[float, float] = (0.0, 0.0)) -> Points:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: Points = (points - about) @ turn + about
    return turned


def curve(*knots: tuple[float, float], closed: bool = True, steps: int = 6) -> Points:
    """A Catmull-Rom curve through the knots."""
    k = np.array(knots, dtype=np.float64)
    ring = np.concatenate([k[-1:], k, k[:2]] if closed else [k[:1], k, k[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    p0, p1, p2, p3 = (ring[i : len(ring) - 3 + i, None, :] for i in range(4))
    spans = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    flat: Points = spans.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, k[-1:]])


def tube(path: Points | Pairs, radii: Sequence[float]) -> Points:
    """The outline of a limb along `path` whose thickness goes through `radii`, with a round end."""
    p = np.asarray(path, dtype=np.float64)
    r = np.interp(np.linspace(0, 1, len(p)), np.linspace(0, 1, len(radii)), radii)
    along = np.gradient(p, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    side = np.stack([-along[:, 1], along[:, 0]], axis=1) * r[:, None]
    heading = np.degrees(np.arctan2(along[-1, 1], along[-1, 0]))
    tip = arc(p[-1, 0], p[-1, 1], r[-1], r[-1], start=heading + 90, end=heading - 90, steps=7)
    base = np.degrees(np.arctan2(along[0, 1], along[0, 0]))
    root = arc(p[0, 0], p[0, 1], r[0], r[0], start=base - 90, end=base - 270, steps=7)
    return np.concatenate([p + side, tip, (p - side)[::-1], root])


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
