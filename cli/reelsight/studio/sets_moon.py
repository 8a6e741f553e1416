"""The places of Paper Moon Express: a town and a railway of cut paper. Called by the film list."""

from __future__ import annotations

import numpy as np

from reelsight.studio import props_built as built
from reelsight.studio import props_wild as wild
from reelsight.studio.backdrops import Set
from reelsight.studio.brush import Brush, dapple, floor, glow, put, ridge, scatter, sky
from reelsight.studio.ink import Picture, darker, fill, mixed
from reelsight.studio.shapes import box, curve, rounded, star


def _town(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=320)
    for _ in range(12):
        x, y = brush.between(0, 1080), brush.between(20, 170)
        fill(canvas, star(x, y, brush.between(3, 8), turn=brush.between(0, 72)), brush.colour("glow"))
    ridge(canvas, brush, brush.colour("far"), base=280, rise=60)
    scatter(canvas, brush, built.tower, count=14, y=(290, 322), scale=(0.6, 0.9))


def _station_ground(canvas: Picture, brush: Brush) -> None:
    put(canvas, brush, built.wagon(brush.rng), brush.between(140, 420), 318, 1.5)
    put(canvas, brush, built.wagon(brush.rng), brush.between(640, 940), 318, 1.5)
    floor(canvas, brush, brush.colour("stone"), top=314)
    for x in range(0, 1100, 60):
        fill(canvas, box(x, 318, x + 30, 324), brush.colour("gold"))
    scatter(canvas, brush, built.lamp, count=3, y=(324, 328), scale=(1.3, 1.5))
    put(canvas, brush, built.clock(brush.rng), brush.between(200, 880), 324, 1.5)


def _rooftop_ground(canvas: Picture, brush: Brush) -> None:
    scatter(canvas, brush, built.tower, count=5, y=(330, 340), scale=(1.0, 1.4))
    roof = brush.colour("roof")
    ridge(canvas, brush, roof, base=322, rise=10, knots=5)
    for y in (338, 362, 386, 410):
        for x in range((y // 24 % 2) * 20, 1100, 40):
            fill(canvas, curve((x - 18, y), (x, y + 9), (x + 18, y), (x, y + 2), steps=3), darker(roof, 0.22))
    scatter(canvas, brush, built.chimney, count=3, y=(322, 328), scale=(0.5, 0.7))


def _heaven(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=430)
    for _ in range(26):
        x, y = brush.between(0, 1080), brush.between(10, 260)
        fill(canvas, star(x, y, brush.between(3, 11), turn=brush.between(0, 72)), brush.colour("glow"))
    scatter(canvas, brush, wild.moon_cloud, count=9, y=(120, 300), scale=(0.6, 1.3))


def _cloud_ground(canvas: Picture, brush: Brush) -> None:
    scatter(canvas, brush, wild.moon_cloud, count=8, y=(318, 330), scale=(1.3, 2.0))
    ridge(canvas, brush, brush.colour("foam"), base=334, rise=16, knots=14)
    dapple(canvas, brush, brush.colour("mid"), area=(0, 350, 1080, 428), count=40, size=26)


def _carriage(canvas: Picture, brush: Brush) -> None:
    wall = mixed(brush.colour("wall"), brush.colour("warm"), brush.between(0.0, 0.5))
    floor(canvas, brush, wall, top=0)
    outside = brush.colour({"day": "sky", "dusk": "dusk", "night": "night"}[brush.hour])
    shift = brush.between(-40, 40)
    for x in np.arange(90, 1080, 180) + shift:
        fill(canvas, rounded(x - 68, 66, x + 68, 204, 16), brush.colour("wood"))
        fill(canvas, rounded(x - 58, 76, x + 58, 194, 12), outside)
        top = (x - 10, brush.between(130, 170))
        hill = curve((x - 58, 194), (x - 58, 160), top, (x + 58, 165), (x + 58, 194), steps=4)
        fill(canvas, hill, brush.colour("far"))
        fill(canvas, star(x + brush.between(-40, 40), 100, 6), brush.colour("glow"))
    fill(canvas, box(0, 22, 1080, 34), brush.colour("gold"))
    fill(canvas, box(0, 236, 1080, 312), darker(wall, 0.25))
    floor(canvas, brush, brush.colour("deep"), top=312)
    for x in range(60, 1080, 240):
        put(canvas, brush, built.seat(brush.rng), x + shift, 322, 1.5)
        glow(canvas, x + 100, 60, 120, brush.colour("glow"), strength=0.4)


MOON_SETS = (
    Set("station", _town, _station_ground),
    Set("rooftops", _town, _rooftop_ground),
    Set("clouds", _heaven, _cloud_ground),
    Set("carriage", _carriage),
)
