"""The places of The Tin Orchard: flat colours and thick lines. Called by the film list."""

from __future__ import annotations

import numpy as np

from reelsight.studio import props_built as built
from reelsight.studio import props_wild as wild
from reelsight.studio.backdrops import Set
from reelsight.studio.brush import Brush, clouds, dapple, floor, put, ridge, scatter, sky
from reelsight.studio.ink import Picture, darker, fill, mixed, stroke
from reelsight.studio.shapes import box, ellipse


def _hills(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=290)
    clouds(canvas, brush, top=40, low=140, count=5)
    ridge(canvas, brush, brush.colour("far"), base=262, rise=80, knots=6)
    scatter(canvas, brush, wild.apple_tree, count=14, y=(252, 292), scale=(0.3, 0.55))
    ridge(canvas, brush, mixed(brush.colour("ground"), brush.colour("far"), 0.4), base=300, rise=24)


def _orchard_ground(canvas: Picture, brush: Brush) -> None:
    floor(canvas, brush, brush.colour("ground"), top=304)
    dapple(canvas, brush, brush.colour("earth"), area=(0, 316, 1080, 428), count=70, size=18)
    scatter(canvas, brush, wild.apple_tree, count=7, y=(304, 320), scale=(1.25, 1.75))
    scatter(canvas, brush, built.crate, count=3, y=(322, 330), scale=(0.8, 1.0))
    scatter(canvas, brush, wild.tuft, count=18, y=(314, 350), scale=(0.9, 1.3))


def _works_far(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=310)
    scatter(canvas, brush, built.chimney, count=7, y=(286, 306), scale=(0.8, 1.35))
    for x in np.arange(0, 1080, 120):
        put(canvas, brush, built.house(brush.rng), x + brush.between(-20, 20), 316, 1.0)


def _works_ground(canvas: Picture, brush: Brush) -> None:
    floor(canvas, brush, mixed(brush.colour("stone"), brush.colour("wall"), 0.3), top=310)
    for x in np.arange(0, 1100, 54):
        fill(canvas, np.array([(x, 318), (x + 26, 318), (x + 14, 328), (x - 12, 328)]), brush.colour("gold"))
    scatter(canvas, brush, built.cog, count=4, y=(312, 318), scale=(1.1, 2.0))
    scatter(canvas, brush, built.wheel_of_pipe, count=3, y=(314, 320), scale=(1.2, 1.6))
    scatter(canvas, brush, built.barrel, count=3, y=(322, 332), scale=(0.9, 1.1))


def _road_ground(canvas: Picture, brush: Brush) -> None:
    floor(canvas, brush, brush.colour("earth"), top=306)
    fill(canvas, box(0, 330, 1080, 392), mixed(brush.colour("stone"), brush.colour("deep"), 0.35))
    for x in np.arange(brush.between(-60, 0), 1100, 90):
        fill(canvas, box(x, 358, x + 44, 364), brush.colour("white"))
    for x in np.arange(brush.between(0, 100), 1200, 264):
        put(canvas, brush, built.pole(brush.rng), x, 318, 1.2)
    scatter(canvas, brush, wild.bush, count=5, y=(314, 326), scale=(0.8, 1.4))
    scatter(canvas, brush, built.fence, count=4, y=(318, 324), scale=(0.9, 1.1))


def _shed(canvas: Picture, brush: Brush) -> None:
    wall = mixed(brush.colour("wall"), brush.colour("sea"), brush.between(0.0, 0.7))
    floor(canvas, brush, wall, top=0)
    for x in np.arange(20, 1080, 34):
        for y in np.arange(24, 220, 34):
            fill(canvas, ellipse(float(x), float(y), 2, steps=6), darker(wall, 0.2))
    scatter(canvas, brush, built.cog, count=6, y=(120, 200), scale=(0.7, 1.3))
    scatter(canvas, brush, built.window, count=2, y=(214, 224), scale=(1.3, 1.5))
    scatter(canvas, brush, built.shelf, count=4, y=(160, 220), scale=(1.0, 1.3))
    fill(canvas, box(0, 262, 1080, 312), darker(wall, 0.15))
    stroke(canvas, np.array([(0, 262), (1080, 262)]), brush.colour("ink"), 2)
    floor(canvas, brush, brush.colour("mid"), top=312, planks=9)
    scatter(canvas, brush, built.table, count=2, y=(322, 330), scale=(1.2, 1.4))
    scatter(canvas, brush, built.wheel_of_pipe, count=2, y=(318, 322), scale=(1.2, 1.4))


TIN_SETS = (
    Set("orchard", _hills, _orchard_ground),
    Set("works", _works_far, _works_ground),
    Set("road", _hills, _road_ground),
    Set("shed", _shed),
)
