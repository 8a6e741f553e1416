"""The places of Harbor Lights and of Kite Island, painted alike. Called by the film list."""

from __future__ import annotations

import numpy as np

from reelsight.studio import props_built as built
from reelsight.studio import props_wild as wild
from reelsight.studio.backdrops import Set
from reelsight.studio.brush import Brush, clouds, dapple, floor, glow, put, ridge, scatter, sea, sky
from reelsight.studio.ink import Picture, darker, fill, mixed, stroke
from reelsight.studio.palettes import Colour
from reelsight.studio.shapes import box, ellipse


def _any(brush: Brush, *names: str) -> Colour:
    """One of the swatches. Both films draw from the same lists, so that no colour belongs to one of them."""
    return brush.colour(names[int(brush.rng.integers(len(names)))])


def _ground(brush: Brush) -> Colour:
    return _any(brush, "leaf", "ground", "wood", "stone")


def _wall(brush: Brush) -> Colour:
    return mixed(
        _any(brush, "cool", "deep", "wall", "gold", "blush"), brush.colour("light"), brush.between(0.0, 0.4)
    )


def _open_sea(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=250)
    clouds(canvas, brush, top=40, low=150)
    far = mixed(_any(brush, "far", "moss", "mid", "leaf"), brush.colour("haze"), 0.3)
    ridge(canvas, brush, far, base=245, rise=brush.between(20, 60), knots=7)
    sea(canvas, brush, top=232, bottom=430)
    scatter(canvas, brush, built.boat, count=int(brush.rng.integers(1, 4)), y=(250, 282), scale=(0.4, 0.75))


def _pier_ground(canvas: Picture, brush: Brush) -> None:
    floor(canvas, brush, _ground(brush), top=318, planks=22)
    x = brush.between(120, 900)
    put(canvas, brush, built.lighthouse(brush.rng), x, 322, 1.25)
    for prop, count in ((built.crate, 2), (built.barrel, 2), (built.bollard, 3)):
        scatter(canvas, brush, prop, count=count, y=(322, 332), scale=(0.9, 1.1))


def _village_far(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=280)
    clouds(canvas, brush, top=30, low=120)
    hill = mixed(_any(brush, "far", "moss", "mid", "leaf"), brush.colour("haze"), 0.25)
    ridge(canvas, brush, hill, base=260, rise=90)
    scatter(canvas, brush, built.house, count=12, y=(250, 300), scale=(0.55, 0.8))


def _village_ground(canvas: Picture, brush: Brush) -> None:
    tone = _ground(brush)
    floor(canvas, brush, tone, top=306)
    dapple(canvas, brush, darker(tone, 0.3), area=(0, 312, 1080, 428), count=150, size=15)
    scatter(canvas, brush, built.house, count=4, y=(312, 316), scale=(1.5, 1.8), margin=40)
    scatter(canvas, brush, built.lamp, count=3, y=(322, 328), scale=(1.2, 1.3))
    scatter(canvas, brush, built.barrel, count=2, y=(324, 334), scale=(0.8, 1.0))


def _beach_ground(canvas: Picture, brush: Brush) -> None:
    tone = _ground(brush)
    ridge(canvas, brush, tone, base=312, rise=16)
    dapple(canvas, brush, darker(tone, 0.25), area=(0, 325, 1080, 428), count=90, size=12)
    scatter(canvas, brush, wild.rock, count=5, y=(306, 336), scale=(0.8, 1.8))
    scatter(canvas, brush, wild.tuft, count=16, y=(308, 345), scale=(0.9, 1.5))


def _lamp_room(canvas: Picture, brush: Brush) -> None:
    wall = _wall(brush)
    floor(canvas, brush, wall, top=0)
    for x in np.arange(-20, 1100, 60):
        stroke(canvas, np.array([(x, 0), (x, 312)]), darker(wall, 0.16), 2)
    fill(canvas, box(0, 236, 1080, 250), darker(wall, 0.3))
    for x in np.linspace(110, 960, 5) + brush.between(-40, 40):
        pane = brush.colour({"day": "sky", "dusk": "glow", "night": "night"}[brush.hour])
        fill(canvas, ellipse(x, 140, 52), brush.colour("gold"))
        fill(canvas, ellipse(x, 140, 43), pane)
        fill(canvas, box(x - 40, 148, x + 40, 158), mixed(pane, brush.colour("sea"), 0.6))
        stroke(canvas, ellipse(x, 140, 52), brush.colour("ink"), 2, closed=True)
    floor(canvas, brush, _ground(brush), top=312, planks=18)
    scatter(canvas, brush, built.shelf, count=4, y=(214, 226), scale=(0.9, 1.1))
    scatter(canvas, brush, built.crate, count=2, y=(324, 330), scale=(0.9, 1.1))
    scatter(canvas, brush, built.table, count=2, y=(326, 332), scale=(1.1, 1.3))
    glow(canvas, brush.between(300, 800), 150, 330, brush.colour("glow"), strength=0.35)


def _meadow_far(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=260)
    clouds(canvas, brush, top=40, low=170, count=9)
    sea(canvas, brush, top=240, bottom=430)
    hill = mixed(_any(brush, "far", "moss", "mid", "leaf"), brush.colour("haze"), 0.25)
    ridge(canvas, brush, hill, base=280, rise=110, knots=8)
    scatter(canvas, brush, built.windmill, count=2, y=(250, 268), scale=(0.5, 0.8))


def _meadow_ground(canvas: Picture, brush: Brush) -> None:
    tone = _ground(brush)
    ridge(canvas, brush, tone, base=316, rise=22)
    dapple(canvas, brush, darker(tone, 0.25), area=(0, 326, 1080, 428), count=130, size=13)
    scatter(canvas, brush, wild.tree, count=3, y=(306, 318), scale=(1.2, 1.7))
    scatter(canvas, brush, wild.bush, count=3, y=(312, 330), scale=(0.8, 1.2))
    scatter(canvas, brush, wild.tuft, count=26, y=(318, 350), scale=(0.9, 1.4))


def _mill_ground(canvas: Picture, brush: Brush) -> None:
    tone = _ground(brush)
    ridge(canvas, brush, tone, base=314, rise=10)
    dapple(canvas, brush, darker(tone, 0.25), area=(0, 322, 1080, 428), count=100, size=16)
    put(canvas, brush, built.windmill(brush.rng), brush.between(150, 450), 318, 1.7)
    put(canvas, brush, built.house(brush.rng), brush.between(650, 950), 318, 1.7)
    scatter(canvas, brush, built.fence, count=5, y=(322, 330), scale=(0.9, 1.1))
    scatter(canvas, brush, wild.tuft, count=14, y=(322, 345), scale=(0.9, 1.4))


def _workshop(canvas: Picture, brush: Brush) -> None:
    wall = _wall(brush)
    floor(canvas, brush, wall, top=0)
    dapple(canvas, brush, darker(wall, 0.08), area=(0, 0, 1080, 310), count=80, size=30)
    scatter(canvas, brush, built.window, count=3, y=(212, 222), scale=(1.3, 1.6))
    scatter(canvas, brush, built.shelf, count=4, y=(170, 190), scale=(1.0, 1.2))
    for x in (200, 520, 860):
        put(canvas, brush, built.bunting(brush.rng), x + brush.between(-60, 60), 40, 1.5)
    floor(canvas, brush, _ground(brush), top=312, planks=16)
    scatter(canvas, brush, built.table, count=3, y=(320, 332), scale=(1.2, 1.4))
    scatter(canvas, brush, built.crate, count=2, y=(322, 330), scale=(0.9, 1.1))


BEACH = Set("beach", _open_sea, _beach_ground)
HARBOR_SETS = (
    Set("pier", _open_sea, _pier_ground),
    Set("village", _village_far, _village_ground),
    Set("lamp-room", _lamp_room),
    BEACH,
)
KITE_SETS = (
    Set("meadow", _meadow_far, _meadow_ground),
    Set("mill", _meadow_far, _mill_ground),
    Set("workshop", _workshop),
    BEACH,
)
