"""The cast of Kite Island: Juno the rabbit pilot, Alba the crane, Tumble the turtle."""

from __future__ import annotations

import numpy as np

from reelsight.studio.anatomy import Pose, arm, bead, bobbed, cheek, eye, head_scaled, leg, spine
from reelsight.studio.shapes import Figure, Shape, arc, curve, ellipse, limb, polygon, tube


def juno(pose: Pose) -> Figure:
    """A slim rabbit with two very long ears, flying goggles and a scarf that streams behind."""
    far, _ = arm(pose, shoulder=(9, -56), half=1, length=24, radius=4, fill="gold", hand="white")
    near, _ = arm(pose, shoulder=(-9, -56), half=0, length=26, radius=4.5, fill="gold", hand="white")
    legs = [
        s
        for half, x in ((1, 6), (0, -6))
        for s in leg(
            pose, hip=(x, -28), half=half, length=28, radius=5.5, fill="deep", shoe="white", foot=1.8
        )
    ]
    wave = 7 * np.sin(2 * np.pi * pose.phase + np.array([0.0, 1.2, 2.4, 3.6]))
    stream = curve(*[(-6 - 15 * i, -64 + i * 1.5 + float(wave[i]) * i / 3) for i in range(4)], closed=False)
    body = [
        Shape(ellipse(-19, -32, 8, 8), "white", 0.9),
        Shape(tube(stream, (5, 6.5)), "warm", 0.9),
        Shape(
            curve((-11, -64), (-16, -42), (-15, -24), (0, -21), (15, -24), (16, -42), (11, -64)),
            "gold",
            shade=True,
        ),
        Shape(curve((1, -62), (4, -42), (3, -22), closed=False), None, 0.7, closed=False),
        Shape(curve((-15, -64), (0, -55), (16, -64), (16, -57), (0, -49), (-15, -57)), "light", 0.9),
    ]
    return far + legs + bobbed(body, pose) + head_scaled(_juno_head(pose), pose, (0, -62)) + near


def _juno_head(pose: Pose) -> Figure:
    flop = 5 * pose.sway * min(1.0, pose.stride + 0.3)
    return [
        Shape(limb((12, -92), (20, -118), (14 - flop, -144), (5, 7, 3)), "white"),
        Shape(limb((12, -96), (19, -118), (14 - flop, -138), (2, 3.6, 1)), "blush", 0),
        Shape(limb((-8, -94), (-20, -122), (-44 + flop, -122 + flop), (5, 7, 3.5)), "white"),
        Shape(limb((-9, -98), (-20, -119), (-38 + flop, -121 + flop), (2, 3.4, 1)), "blush", 0),
        Shape(
            curve((-20, -80), (-17, -96), (2, -103), (21, -95), (25, -80), (18, -67), (0, -63), (-16, -68)),
            "white",
            shade=True,
        ),
        Shape(curve((-20, -92), (2, -98), (24, -91), (23, -86), (2, -92), (-20, -86)), "deep", 0.7),
        Shape(ellipse(-3, -95, 8.5, 7.5), "warm", 0.9),
        Shape(ellipse(-3, -95, 5.5, 4.8), "sky", 0.6),
        Shape(ellipse(16, -94, 7.5, 7.5), "warm", 0.9),
        Shape(ellipse(16, -94, 4.8, 4.8), "sky", 0.6),
        *eye(pose, 3, -79, 4.6),
        *eye(pose, 17, -79, 4.2),
        Shape(polygon((10, -72), (16, -72), (13, -69)), "warm", 0.5),
        Shape(polygon((10.5, -67), (15.5, -67), (15, -62), (11, -62)), "white", 0.5),
        cheek(-5, -71, 4),
    ]


def alba(pose: Pose) -> Figure:
    """A crane, all legs and neck, under a wide straw hat."""
    legs = [
        s
        for half, x in ((1, 5), (0, -6))
        for s in leg(pose, hip=(x, -52), half=half, length=52, radius=2.2, fill="warm", shoe="warm", foot=3)
    ]
    flap = pose.reach * (26 + 12 * pose.sway)
    body = [
        Shape(
            polygon((-22, -66), (-48, -62), (-38, -56), (-46, -50), (-34, -49), (-38, -42), (-18, -50)),
            "deep",
        ),
        Shape(
            curve((-30, -62), (-14, -76), (12, -74), (22, -62), (10, -48), (-14, -46)), "white", shade=True
        ),
        Shape(
            curve(
                (8, -68),
                (-6, -72 - flap),
                (-32, -66 - flap),
                (-40, -54 - flap),
                (-18, -52 - flap * 0.4),
                (4, -54),
            ),
            "deep",
        ),
        Shape(arc(-16, -62 - flap * 0.6, 16, 8, start=20, end=120), None, 0.6, closed=False),
    ]
    dip = 4 * pose.sway * min(1.0, pose.stride)
    neck = limb((14, -64), (32, -82), (21 + dip, -112), (8, 5.5, 5.5))
    head = [
        Shape(polygon((30 + dip, -119), (70 + dip, -110), (30 + dip, -110 - 2 * pose.mouth)), "gold", 0.9),
        Shape(polygon((30 + dip, -112), (64 + dip, -108 + 8 * pose.mouth), (28 + dip, -107)), "gold", 0.9),
        Shape(ellipse(23 + dip, -115, 11, 10), "white", shade=True),
        *bead(pose, 27 + dip, -116, 2.8),
        cheek(21 + dip, -109, 3),
        Shape(
            curve(
                (-6 + dip, -121),
                (20 + dip, -117),
                (50 + dip, -124),
                (46 + dip, -128),
                (22 + dip, -124),
                (-4 + dip, -126),
            ),
            "light",
            0.9,
        ),
        Shape(
            polygon((2 + dip, -125), (20 + dip, -148), (42 + dip, -126), (22 + dip, -121)),
            "light",
            shade=True,
        ),
        Shape(polygon((6 + dip, -129), (38 + dip, -129), (40 + dip, -124), (4 + dip, -123)), "warm", 0.5),
    ]
    return (
        legs + bobbed([Shape(neck, "white")], pose) + bobbed(body, pose) + head_scaled(head, pose, (22, -112))
    )


def tumble(pose: Pose) -> Figure:
    """A turtle with plates on a high round shell, and a kite on a string."""
    legs = [
        s
        for half, x in ((1, 26), (0, -18), (0, 16), (1, -26))
        for s in leg(
            pose, hip=(x, -13), half=half, length=13, radius=6, fill="ground", shoe="earth", foot=0.9
        )
    ]
    sway = 7 * pose.sway
    kite = polygon((-38 + sway, -128), (-20 + sway, -104), (-36 + sway, -72), (-54 + sway, -102))
    string = spine(-36 + sway, -74, -8, -54, sag=10)
    toy = [
        Shape(string, None, 0.5, closed=False),
        Shape(kite, "warm", 0.9),
        Shape(polygon((-38 + sway, -128), (-20 + sway, -104), (-36 + sway, -100)), "gold", 0.6),
        Shape(polygon((-54 + sway, -102), (-36 + sway, -72), (-36 + sway, -100)), "gold", 0.6),
        *(
            Shape(
                polygon(
                    (-33 + i * 7 + sway * 0.6, -66 + i * 6),
                    (-27 + i * 7, -68 + i * 6),
                    (-30 + i * 7, -60 + i * 6),
                ),
                "cool",
                0.6,
            )
            for i in range(2)
        ),
    ]
    shell = [
        Shape(polygon((-34, -18), (-48, -10), (-32, -10)), "ground", 0.9),
        Shape(
            curve((-40, -14), (-37, -40), (-18, -60), (8, -60), (28, -44), (36, -14), (0, -8)),
            "cool",
            shade=True,
        ),
        Shape(polygon((-10, -52), (8, -52), (15, -38), (6, -25), (-11, -25), (-19, -38)), "sea", 0.7),
        Shape(polygon((20, -45), (29, -34), (25, -24), (13, -27), (18, -38)), "sea", 0.6),
        Shape(polygon((-24, -50), (-15, -46), (-22, -38), (-16, -26), (-30, -22), (-33, -36)), "sea", 0.6),
        Shape(curve((-42, -17), (0, -9), (38, -17), (39, -11), (0, -3), (-43, -10)), "light", 0.9),
    ]
    head = [
        Shape(limb((30, -20), (42, -26), (48, -40), (7, 7)), "ground"),
        Shape(ellipse(53, -46, 15, 13), "ground", shade=True),
        *eye(pose, 55, -50, 4.4),
        Shape(curve((47, -40), (56, -37 + 4 * pose.mouth), (66, -43), closed=False), None, 0.9, closed=False),
        cheek(50, -42, 3),
        Shape(arc(66, -47, 1, 1, start=0, end=300), None, 0.6, closed=False),
    ]
    return bobbed(toy, pose) + legs + bobbed(shell, pose) + head_scaled(head, pose, (40, -30))
