"""The places of Moss and Ember: an autumn forest in washes. Called by the film list."""

from __future__ import annotations

from reelsight.studio import props_built as built
from reelsight.studio import props_wild as wild
from reelsight.studio.backdrops import Set
from reelsight.studio.brush import Brush, clouds, dapple, floor, glow, put, ridge, scatter, sea, sky
from reelsight.studio.ink import Picture, darker, fill, mixed
from reelsight.studio.shapes import arc, curve, ellipse


def _wood_far(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=300)
    for base, share in ((230, 0.65), (265, 0.4)):
        tone = mixed(brush.colour("far"), brush.colour("haze"), share)
        ridge(canvas, brush, tone, base=base, rise=70, knots=12)
        scatter(canvas, brush, wild.pine, count=12, y=(base - 20, base + 20), scale=(0.5, 0.9))


def _forest_ground(canvas: Picture, brush: Brush) -> None:
    ridge(canvas, brush, brush.colour("ground"), base=318, rise=18)
    _leaves(canvas, brush)
    scatter(canvas, brush, wild.trunk, count=5, y=(312, 322), scale=(0.95, 1.25))
    scatter(canvas, brush, wild.fern, count=9, y=(318, 334), scale=(0.9, 1.4))
    scatter(canvas, brush, wild.mushroom, count=5, y=(324, 338), scale=(0.6, 1.1))


def _leaves(canvas: Picture, brush: Brush) -> None:
    for name in ("leaf", "roof", "gold"):
        dapple(canvas, brush, brush.colour(name), area=(0, 324, 1080, 428), count=55, size=9)


def _stream_ground(canvas: Picture, brush: Brush) -> None:
    ridge(canvas, brush, brush.colour("moss"), base=300, rise=14)
    sea(canvas, brush, top=316, bottom=346)
    ridge(canvas, brush, brush.colour("ground"), base=350, rise=10)
    _leaves(canvas, brush)
    scatter(canvas, brush, wild.tree, count=3, y=(300, 306), scale=(1.3, 1.8))
    scatter(canvas, brush, wild.rock, count=7, y=(318, 352), scale=(0.6, 1.2))
    scatter(canvas, brush, wild.tuft, count=20, y=(308, 356), scale=(1.0, 1.7))


def _hill_far(canvas: Picture, brush: Brush) -> None:
    sky(canvas, brush, horizon=330)
    clouds(canvas, brush, top=30, low=150, count=5)
    for base, name in ((260, "far"), (292, "leaf")):
        tone = mixed(brush.colour(name), brush.colour("haze"), 0.4)
        ridge(canvas, brush, tone, base=base, rise=90, knots=7)
    scatter(canvas, brush, wild.tree, count=9, y=(262, 300), scale=(0.4, 0.7))


def _hill_ground(canvas: Picture, brush: Brush) -> None:
    ridge(canvas, brush, mixed(brush.colour("gold"), brush.colour("moss"), 0.35), base=322, rise=26, knots=6)
    dapple(canvas, brush, brush.colour("moss"), area=(0, 330, 1080, 428), count=120, size=14)
    put(canvas, brush, wild.tree(brush.rng), brush.between(200, 880), 318, 2.9)
    scatter(canvas, brush, built.fence, count=3, y=(318, 322), scale=(0.9, 1.1))
    scatter(canvas, brush, wild.tuft, count=22, y=(322, 350), scale=(1.0, 1.7))


def _hollow(canvas: Picture, brush: Brush) -> None:
    """Inside a hollow tree."""
    wall = brush.colour("wood")
    floor(canvas, brush, wall, top=0)
    for k in range(9):
        x = 120 * k + brush.between(-20, 20)
        tone = mixed(wall, brush.colour("ground"), 0.18 if k % 2 else 0.32)
        fill(
            canvas,
            curve((x - 50, -20), (x + 10, 140), (x - 30, 330), (x + 60, 330), (x + 40, 140), (x + 80, -20)),
            tone,
        )
    for x in (240, 800):
        x += brush.between(-90, 90)
        fill(canvas, ellipse(x, 120, 52, 60), darker(wall, 0.4))
        fill(
            canvas,
            ellipse(x, 120, 44, 52),
            brush.colour({"day": "sky", "dusk": "dusk", "night": "night"}[brush.hour]),
        )
        fill(canvas, arc(x, 172, 44, 20, start=180, end=360), brush.colour("moss"))
    scatter(canvas, brush, built.shelf, count=4, y=(190, 220), scale=(0.9, 1.2))
    floor(canvas, brush, brush.colour("earth"), top=314)
    dapple(canvas, brush, brush.colour("ground"), area=(0, 322, 1080, 428), count=60, size=22)
    scatter(canvas, brush, built.table, count=2, y=(322, 330), scale=(1.1, 1.3))
    scatter(canvas, brush, wild.mushroom, count=4, y=(322, 332), scale=(0.8, 1.2))
    glow(canvas, brush.between(350, 750), 240, 320, brush.colour("glow"), strength=0.45)  # fmt: skip


WOODS_SETS = (
    Set("forest", _wood_far, _forest_ground),
    Set("stream", _wood_far, _stream_ground),
    Set("hollow", _hollow),
    Set("hill", _hill_far, _hill_ground),
)
