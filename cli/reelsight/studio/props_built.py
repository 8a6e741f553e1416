"""Houses, boats, furniture and other made things of the sets, drawn with the cast's own pen. Called by the sets."""

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
    polygon,
    rotated,
    rounded,
    star,
    tube,
)

Rng = np.random.Generator


def house(rng: Rng) -> Figure:
    w, h = float(rng.uniform(28, 38)), float(rng.uniform(56, 86))
    wall = ("wall", "light", "mid", "blush")[int(rng.integers(4))]
    windows = [
        s
        for x in (-w * 0.5, w * 0.45)
        for y in np.arange(-h + 16, -30, 26)
        for s in (
            Shape(box(x - 6, y - 8, x + 6, y + 8), "glow", 0.7),
            Shape(polygon((x, y - 8), (x, y + 8)), None, 0.5, closed=False),
        )
    ]
    return [
        Shape(box(w * 0.3, -h - 30, w * 0.55, -h - 4), "stone", 0.8),
        Shape(box(-w, -h, w, 0), wall, shade=True),
        Shape(polygon((-w - 6, -h), (0, -h - 30), (w + 6, -h)), "roof", shade=True),
        *windows,
        Shape(curve((-7, 0), (-7, -18), (0, -24), (7, -18), (7, 0)), "deep", 0.8),
    ]


def lighthouse(_: Rng) -> Figure:
    return [
        Shape(polygon((-24, 0), (-15, -130), (15, -130), (24, 0)), "white", shade=True),
        *(
            Shape(
                polygon(
                    (-24 + y * 0.07, -y),
                    (-24 + (y + 22) * 0.07, -y - 22),
                    (24 - (y + 22) * 0.07, -y - 22),
                    (24 - y * 0.07, -y),
                ),
                "warm",
                0.6,
            )
            for y in (18, 62, 106)
        ),
        Shape(box(-20, -136, 20, -130), "deep"),
        Shape(box(-11, -156, 11, -136), "glow"),
        Shape(curve((-15, -156), (0, -176), (15, -156)), "warm"),
        Shape(box(-6, -22, 6, 0), "deep", 0.7),
    ]


def boat(rng: Rng) -> Figure:
    sail = ("white", "gold", "blush")[int(rng.integers(3))]
    return [
        Shape(box(-2, -74, 2, -8), "wood", 0.7),
        Shape(polygon((3, -72), (34, -18), (3, -16)), sail, shade=True),
        Shape(polygon((-3, -64), (-26, -18), (-3, -16)), "light", 0.9),
        Shape(curve((-38, -12), (0, -9), (40, -14), (28, 4), (-24, 4), steps=4), "roof", shade=True),
    ]


def bollard(_: Rng) -> Figure:
    return [
        Shape(box(-7, -26, 7, 0), "deep", shade=True),
        Shape(rounded(-10, -33, 10, -25, 3), "deep"),
        Shape(spine(8, -22, 60, -10, sag=18), None, 1.4, closed=False, ink="wood"),
    ]


def crate(rng: Rng) -> Figure:
    s = float(rng.uniform(18, 24))
    return [
        Shape(box(-s, -2 * s, s, 0), "wood", shade=True),
        Shape(box(-s + 5, -2 * s + 5, s - 5, -5), "ground", 0.7),
        Shape(polygon((-s + 5, -5), (s - 5, -2 * s + 5)), None, 0.9, closed=False),
    ]


def barrel(_: Rng) -> Figure:
    return [
        Shape(
            curve((-15, 0), (-20, -22), (-15, -44), (15, -44), (20, -22), (15, 0), steps=4),
            "wood",
            shade=True,
        ),
        Shape(arc(0, -36, 18, 3, start=0, end=180), None, 1.2, closed=False),
        Shape(arc(0, -12, 18, 3, start=0, end=180), None, 1.2, closed=False),
    ]


def lamp(_: Rng) -> Figure:
    return [
        Shape(box(-2.5, -110, 2.5, 0), "deep", 0.8),
        Shape(polygon((-10, 0), (-4, -12), (4, -12), (10, 0)), "deep", 0.8),
        Shape(polygon((-9, -128), (9, -128), (6, -110), (-6, -110)), "glow"),
        Shape(polygon((-12, -128), (0, -138), (12, -128)), "deep"),
    ]


def fence(_: Rng) -> Figure:
    posts = [
        Shape(polygon((x - 4, 0), (x - 4, -30), (x, -36), (x + 4, -30), (x + 4, 0)), "light")
        for x in (-45, -15, 15, 45)
    ]
    return [Shape(box(-60, -24, 60, -18), "light", 0.8), Shape(box(-60, -11, 60, -5), "light", 0.8), *posts]


def windmill(rng: Rng) -> Figure:
    turn = float(rng.uniform(0, 90))
    sails = [
        Shape(
            rotated(polygon((-3, -96), (-3, -150), (13, -150), (8, -100)), turn + k, (0, -96)), "light", 0.8
        )
        for k in (0, 90, 180, 270)
    ]
    return [
        Shape(polygon((-26, 0), (-16, -92), (16, -92), (26, 0)), "wall", shade=True),
        Shape(curve((-20, -92), (0, -116), (20, -92), steps=4), "roof"),
        Shape(box(-7, -26, 7, 0), "wood", 0.8),
        Shape(ellipse(0, -60, 6), "glow", 0.8),
        *sails,
        Shape(ellipse(0, -96, 5), "deep", 0.8),
    ]


def bunting(rng: Rng) -> Figure:
    rope = spine(-90, -10, 90, -10, sag=40)
    flags = [
        Shape(
            polygon((p[0] - 8, p[1]), (p[0] + 8, p[1]), (p[0], p[1] + 20)),
            str(rng.choice(["warm", "gold", "cool"])),
            0.7,
        )
        for p in rope[1:-1:2]
    ]
    return [Shape(rope, None, 0.7, closed=False), *flags]


def window(_: Rng) -> Figure:
    return [
        Shape(rounded(-34, -84, 34, 0, 8), "wood"),
        Shape(rounded(-28, -78, 28, -6, 5), "glow", 0.7),
        Shape(polygon((0, -78), (0, -6)), None, 1.4, closed=False, ink="wood"),
        Shape(polygon((-28, -42), (28, -42)), None, 1.4, closed=False, ink="wood"),
    ]


def shelf(rng: Rng) -> Figure:
    things: Figure = []
    for x in range(-44, 44, 15):
        tall, tone = float(rng.uniform(12, 30)), str(rng.choice(["warm", "cool", "gold", "mid", "deep"]))
        shape = ellipse(x, -tall / 2, 6, tall / 2) if rng.random() < 0.4 else box(x - 5, -tall, x + 5, 0)
        things.append(Shape(shape, tone, 0.7))
    return [*things, Shape(box(-56, 0, 56, 6), "wood")]


def table(rng: Rng) -> Figure:
    return [
        Shape(box(-52, -36, -44, 0), "wood"),
        Shape(box(44, -36, 52, 0), "wood"),
        Shape(rounded(-62, -44, 62, -35, 3), "wood", shade=True),
        Shape(ellipse(float(rng.uniform(-30, 30)), -54, 10, 9), str(rng.choice(["warm", "cool", "gold"]))),
        Shape(box(-46, -58, -34, -44), "light", 0.8),
    ]


def chimney(rng: Rng) -> Figure:
    h = float(rng.uniform(110, 170))
    return [
        Shape(polygon((-16, 0), (-12, -h), (12, -h), (16, 0)), "roof", shade=True),
        *(Shape(box(-13 - y * 0.02, -h + y, 13 + y * 0.02, -h + y + 8), "white", 0.6) for y in (8, 34)),
        *(Shape(ellipse(6 + 16 * k, -h - 14 - 16 * k, 11 + 5 * k, 9 + 4 * k), "foam", 0.7) for k in range(3)),
    ]


def cog(rng: Rng) -> Figure:
    teeth = int(rng.integers(8, 12))
    return [
        Shape(star(0, -34, 34, tips=teeth, inner=0.8), str(rng.choice(["mid", "gold", "sea"])), shade=True),
        Shape(ellipse(0, -34, 12), "wall", 0.8),
    ]


def pole(_: Rng) -> Figure:
    return [
        Shape(box(-3, -150, 3, 0), "wood", 0.8),
        Shape(box(-24, -142, 24, -136), "wood", 0.8),
        *(Shape(ellipse(x, -146, 3.4), "gold", 0.6) for x in (-20, 20)),
        Shape(spine(-20, -146, -220, -146, sag=40), None, 0.5, closed=False),
    ]


def tower(rng: Rng) -> Figure:
    """A town house of the moon people, many windows, some lit."""
    w, h = float(rng.uniform(26, 40)), float(rng.uniform(90, 190))
    roof = (
        polygon((-w - 3, -h), (0, -h - w), (w + 3, -h))
        if rng.random() < 0.6
        else box(-w - 4, -h - 7, w + 4, -h)
    )
    panes = [
        Shape(rounded(x - 5, y - 8, x + 5, y + 6, 3), "glow" if rng.random() < 0.55 else "deep", 0.6)
        for x in np.linspace(-w + 12, w - 12, 3)
        for y in np.arange(-h + 20, -14, 26)
    ]
    return [Shape(box(-w, -h, w, 0), str(rng.choice(["wall", "stone", "cool"]))), Shape(roof, "roof"), *panes]


def wagon(rng: Rng) -> Figure:
    tone = str(rng.choice(["warm", "roof", "cool"]))
    return [
        *(Shape(ellipse(x, -10, 12), "ink", 0.8) for x in (-66, -38, 38, 66)),
        Shape(rounded(-96, -96, 96, -14, 10), tone),
        Shape(rounded(-100, -104, 100, -92, 6), "deep"),
        Shape(box(-96, -36, 96, -28), "gold", 0.6),
        *(Shape(rounded(x - 16, -84, x + 16, -46, 5), "glow", 0.8) for x in (-66, -22, 22, 66)),
    ]


def seat(_: Rng) -> Figure:
    return [
        Shape(rounded(-44, -74, -24, 0, 8), "roof"),
        Shape(rounded(-44, -30, 40, -12, 8), "roof"),
        Shape(box(-38, -12, -30, 0), "ink", 0.6),
        Shape(box(26, -12, 34, 0), "ink", 0.6),
        Shape(ellipse(-34, -60, 4), "gold", 0.5),
    ]


def clock(_: Rng) -> Figure:
    return [
        Shape(box(-3, -60, 3, 0), "ink", 0.8),
        Shape(ellipse(0, -82, 24), "gold"),
        Shape(ellipse(0, -82, 19), "white", 0.7),
        Shape(polygon((0, -82), (0, -95)), None, 1.0, closed=False),
        Shape(polygon((0, -82), (9, -77)), None, 1.0, closed=False),
    ]


def wheel_of_pipe(_: Rng) -> Figure:
    return [
        Shape(tube([(-120, -40), (-40, -40), (-30, -40)], (9, 9)), "mid"),
        Shape(tube([(-30, -140), (-30, -60), (-30, -40)], (9, 9)), "mid"),
        Shape(box(-42, -66, -18, -56), "deep", 0.8),
        Shape(ellipse(-30, -40, 13), "warm", 0.9),
        Shape(ellipse(-30, -40, 5), "white", 0.7),
    ]
