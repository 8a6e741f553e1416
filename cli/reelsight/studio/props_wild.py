"""Trees, stones and other wild things of the sets, drawn with the cast's own pen. Called by the sets."""

from __future__ import annotations

import numpy as np

from reelsight.studio.anatomy import spine
from reelsight.studio.shapes import (
    Figure,
    Shape,
    arc,
    box,
    curve,
    ellipse,
    limb,
    polygon,
    star,
)

Rng = np.random.Generator


def tree(rng: Rng) -> Figure:
    w = float(rng.uniform(-6, 6))
    crown = [(-34, -66), (-30, -96), (-4 + w, -116), (28, -100), (38, -70), (18, -52), (-16, -50)]
    return [
        Shape(limb((0, 0), (w * 0.5, -30), (w * 0.3, -64), (6, 4)), "wood"),
        Shape(curve(*crown), "leaf", shade=True),
        Shape(arc(-6, -84, 16, 12, start=150, end=290), None, 0.6, closed=False, ink="moss"),
        Shape(arc(14, -70, 12, 9, start=20, end=130), None, 0.6, closed=False, ink="moss"),
    ]


def pine(rng: Rng) -> Figure:
    lean = float(rng.uniform(-4, 4))
    tiers = [
        Shape(polygon((-w, y), (lean, y - 46), (w, y), (0, y - 6)), "moss", shade=True)
        for w, y in ((32, -14), (26, -42), (18, -68))
    ]
    return [Shape(box(-4, -20, 4, 0), "wood"), *tiers]


def bush(rng: Rng) -> Figure:
    k = float(rng.uniform(0.8, 1.2))
    return [
        Shape(
            curve((-30, 0), (-30 * k, -18), (-14, -26 * k), (2, -34), (18, -24 * k), (32, -16), (32, 0)),
            "moss",
            shade=True,
        ),
        Shape(arc(-8, -14, 10, 7, start=190, end=320), None, 0.6, closed=False, ink="leaf"),
    ]


def tuft(rng: Rng) -> Figure:
    blades = []
    for x in (-8, -3, 2, 7):
        tip = x + float(rng.uniform(-7, 7)), -float(rng.uniform(10, 20))
        blades.append(Shape(polygon((x - 2, 0), tip, (x + 2, 0)), "moss", 0.4))
    return blades


def rock(rng: Rng) -> Figure:
    k = float(rng.uniform(0.7, 1.3))
    return [
        Shape(
            polygon((-28, 0), (-24, -14 * k), (-8, -24 * k), (14, -20), (28, -8 * k), (30, 0)),
            "stone",
            shade=True,
        ),
        Shape(polygon((-8, -24 * k), (0, -11), (14, -20)), None, 0.5, closed=False),
    ]


def mushroom(rng: Rng) -> Figure:
    cap = str(rng.choice(["roof", "gold", "warm"]))
    return [
        Shape(curve((-6, 0), (-4, -20), (4, -20), (6, 0), steps=4), "light", shade=True),
        Shape(curve((-22, -18), (-14, -34), (2, -40), (16, -33), (22, -18), (0, -15)), cap, shade=True),
        *(Shape(ellipse(x, y, r), "white", 0.4) for x, y, r in ((-9, -26, 3), (3, -33, 3.4), (11, -24, 2.6))),
    ]


def trunk(rng: Rng) -> Figure:
    b = float(rng.uniform(-14, 14))
    return [
        Shape(
            curve(
                (-46, 4),
                (-24, -30),
                (-20 + b * 0.4, -160),
                (-28 + b, -360),
                (26 + b, -360),
                (20 + b * 0.4, -160),
                (26, -30),
                (50, 4),
            ),
            "wood",
            shade=True,
        ),
        *(
            Shape(spine(x, -40 - k * 46, x + b * 0.3, -84 - k * 46, sag=0), None, 0.7, closed=False)
            for k, x in enumerate((-8, 7, -4, 10, -6))
        ),
        Shape(ellipse(4 + b * 0.4, -150, 9, 13), "deep", 0.8),
    ]


def fern(rng: Rng) -> Figure:
    return [
        Shape(curve((0, 0), (x * 0.5, -h), (x, -h * 0.7), (x * 0.45, -h * 0.72)), "cool", 0.6)
        for x, h in [
            (s * float(rng.uniform(18, 34)), float(rng.uniform(20, 40))) for s in (-1, 1, -0.6, 0.6, -0.2)
        ]
    ]


def apple_tree(rng: Rng) -> Figure:
    """An orchard tree of the tin people: a disc of leaves, hung with cogs and apples."""
    fruit = []
    for angle in rng.uniform(0, 360, 6):
        x, y = 24 * np.cos(angle), -86 + 24 * np.sin(angle)
        shape = star(x, y, 7.5, tips=8, inner=0.72) if rng.random() < 0.5 else ellipse(x, y, 6)
        fruit.append(Shape(shape, str(rng.choice(["warm", "gold"])), 0.7))
    return [Shape(box(-5, -50, 5, 0), "wood"), Shape(ellipse(0, -86, 40, 40), "leaf", shade=True), *fruit]


def moon_cloud(rng: Rng) -> Figure:
    k = float(rng.uniform(0.8, 1.3))
    return [
        Shape(
            curve(
                (-60, 0), (-56, -18), (-34, -22 * k), (-14, -36), (14, -30 * k), (34, -18), (58, -14), (62, 0)
            ),
            "foam",
        ),
        Shape(arc(-8, -14, 14, 10, start=180, end=380), None, 0.7, closed=False, ink="mid"),
    ]
