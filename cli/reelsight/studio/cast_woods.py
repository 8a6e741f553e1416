"""The cast of Moss and Ember: Bramble the hedgehog, Ember the fox, Nettle the snail with a house."""

from __future__ import annotations

import numpy as np

from reelsight.studio.anatomy import Pose, arm, bead, bobbed, cheek, eye, head_scaled, leg
from reelsight.studio.shapes import Figure, Points, Shape, arc, box, curve, ellipse, limb, polygon, tube


def spines(x: float, y: float, rx: float, ry: float, *, start: float, end: float, tips: int) -> Points:
    """A fan of spikes along an arc."""
    angles = np.radians(np.linspace(start, end, 2 * tips + 1))
    reach = np.where(np.arange(2 * tips + 1) % 2 == 1, 1.0, 0.78)
    return np.stack([x + rx * reach * np.cos(angles), y + ry * reach * np.sin(angles)], axis=1)


def bramble(pose: Pose) -> Figure:
    """A hedgehog with two fans of spikes and an acorn cup for a cap."""
    far, _ = arm(pose, shoulder=(14, -44), half=1, length=17, radius=4, fill="skin", hand="skin")
    near, _ = arm(pose, shoulder=(-2, -44), half=0, length=19, radius=4.5, fill="skin", hand="skin")
    legs = [
        s
        for half, x in ((1, 10), (0, -6))
        for s in leg(pose, hip=(x, -13), half=half, length=13, radius=5, fill="skin", shoe="wood", foot=1.2)
    ]
    back = [
        Shape(spines(-4, -44, 46, 46, start=85, end=300, tips=11), "deep", shade=True),
        Shape(spines(0, -44, 34, 36, start=95, end=290, tips=9), "wood", 0.8),
        Shape(ellipse(5, -34, 20, 24), "light", shade=True),
        Shape(curve((-8, -52), (-14, -34), (-8, -20), (4, -14), (2, -34), (6, -50)), "cool", 0.9),
        Shape(curve((20, -52), (24, -34), (18, -20), (14, -16), (16, -34), (14, -50)), "cool", 0.9),
    ]
    head = [
        Shape(spines(-2, -72, 30, 30, start=130, end=290, tips=8), "deep"),
        Shape(ellipse(-4, -88, 6, 6), "skin", 0.9),
        Shape(curve((-14, -72), (-8, -88), (8, -90), (20, -80), (40, -72), (38, -66), (16, -58), (-6, -58)), "light",
              shade=True),
        Shape(ellipse(40, -71, 4.6, 4), "ink", 0.8),
        *bead(pose, 16, -76, 3.4),
        cheek(10, -66, 4),
        Shape(curve((20, -62), (27, -61 + 5 * pose.mouth), (33, -66), closed=False), None, 0.9, closed=False),
        Shape(curve((-16, -88), (-12, -102), (4, -107), (18, -101), (22, -88), (2, -84)), "gold", shade=True),
        *(Shape(arc(3, -86, 17, k, start=200, end=340), None, 0.6, closed=False) for k in (6, 12)),
        Shape(tube([(3, -106), (4, -112), (8, -117)], (2.2, 1.4)), "wood", 0.8),
    ]  # fmt: skip
    return (
        far
        + bobbed(back[:2], pose)
        + legs
        + bobbed(back[2:], pose)
        + head_scaled(head, pose, (4, -58))
        + near
    )


def ember(pose: Pose) -> Figure:
    """A fox with a huge white-tipped tail and a short cape held by a leaf."""
    far, _ = arm(pose, shoulder=(9, -54), half=1, length=25, radius=4.5, fill="warm", hand="ink")
    near, _ = arm(pose, shoulder=(-8, -54), half=0, length=27, radius=5, fill="warm", hand="ink")
    legs = [
        s
        for half, x in ((1, 6), (0, -6))
        for s in leg(pose, hip=(x, -28), half=half, length=28, radius=5, fill="warm", shoe="ink", foot=1.3)
    ]
    w = 7 * pose.sway * (0.4 + min(1.0, pose.stride))
    tail = [
        Shape(curve((-8, -26), (-26, -16), (-48, -26 + w), (-60, -56 + w), (-52, -84 + w), (-40, -62 + w), (-30, -46),
                    (-12, -38)), "warm", shade=True),
        Shape(curve((-62, -62 + w), (-60, -74 + w), (-52, -88 + w), (-42, -68 + w), (-47, -66 + w), (-51, -70 + w),
                    (-56, -62 + w)), "white", 0.8),
    ]  # fmt: skip
    body = [
        Shape(curve((-10, -64), (-15, -44), (-14, -24), (0, -20), (14, -24), (14, -44), (10, -64)), "warm", shade=True),
        Shape(curve((2, -60), (-4, -42), (0, -24), (10, -26), (12, -42), (9, -58)), "white", 0.5),
        Shape(curve((-12, -66), (-28, -42 + w * 0.3), (-30, -32 + w * 0.4), (-12, -38), (2, -50), (13, -54), (13, -64)),
              "cool", shade=True),
        Shape(curve((6, -60), (12, -66), (20, -62), (14, -55)), "gold", 0.8),
    ]  # fmt: skip
    return (
        far
        + bobbed(tail, pose)
        + legs
        + bobbed(body, pose)
        + near
        + head_scaled(_ember_head(pose), pose, (0, -62))
    )


def _ember_head(pose: Pose) -> Figure:
    return [
        Shape(curve((4, -92), (16, -122), (24, -96)), "warm"),
        Shape(curve((10, -94), (16, -112), (20, -95)), "ink", 0.4),
        Shape(curve((-24, -84), (-22, -94), (2, -99), (22, -94), (28, -84), (40, -72), (30, -65), (6, -60),
                    (-16, -64), (-32, -66)), "warm", shade=True),
        Shape(curve((-32, -66), (-14, -76), (2, -72), (12, -78), (20, -78), (40, -72), (30, -65), (6, -60),
                    (-16, -63)), "white", 0.5),
        Shape(polygon((-22, -86), (-22, -124), (2, -98)), "warm"),
        Shape(polygon((-17, -91), (-18, -112), (-4, -98)), "ink", 0.4),
        Shape(ellipse(40, -73, 4.6, 3.8), "ink", 0.8),
        *eye(pose, 0, -82, 4.6),
        *eye(pose, 17, -83, 4.2),
        Shape(curve((18, -64), (27, -63 + 5 * pose.mouth), (34, -68), closed=False), None, 0.9, closed=False),
        cheek(-8, -71, 4),
    ]  # fmt: skip


def nettle(pose: Pose) -> Figure:
    """A snail whose spiral shell is a house, with a door, a window and a chimney."""
    creep = 3 * pose.sway * min(1.0, pose.stride)
    nod = 3 * pose.sway
    turns = np.linspace(0.6, 5.4 * np.pi / 2 + 4, 44)
    spiral = np.stack([-10 + 2.6 * turns * np.cos(turns), -46 + 2.6 * turns * np.sin(turns)], axis=1)
    foot = curve((-52 - creep, -2), (-40, -14), (-6, -20), (24, -18), (32, -40), (40, -62), (56, -62), (62, -48),
                 (52, -16), (50 + creep, -1), (10, 0))  # fmt: skip
    house = [
        Shape(polygon((-34, -76), (-36, -100), (-23, -100), (-22, -80)), "stone", 0.9),
        Shape(box(-39, -103, -20, -97), "deep", 0.8),
        Shape(ellipse(-10, -46, 37, 37, steps=32), "gold", shade=True),
        Shape(spiral, None, 0.9, closed=False),
        Shape(ellipse(8, -62, 7.5, 7.5), "glow", 0.9),
        Shape(polygon((8, -69), (8, -55)), None, 0.6, closed=False),
        Shape(polygon((1, -62), (15, -62)), None, 0.6, closed=False),
        Shape(curve((-22, -12), (-22, -26), (-14, -32), (-6, -26), (-6, -12)), "roof", 0.9),
        Shape(ellipse(-9, -20, 1.4, steps=8), "ink", 0),
    ]
    stalks = [
        Shape(limb((46, -60), (40, -76), (38 + nod, -92), (3.4, 2.8)), "moss"),
        Shape(limb((55, -60), (60, -76), (62 + nod, -90), (3.4, 2.8)), "moss"),
        *eye(pose, 38 + nod, -96, 6.4, tall=1.0),
        *eye(pose, 62 + nod, -94, 6.0, tall=1.0),
    ]
    face = [
        Shape(curve((50, -48), (56, -45 + 5 * pose.mouth), (62, -50), closed=False), None, 1.0, closed=False),
        cheek(48, -52, 3.6),
        Shape(curve((29, -30), (38, -24), (54, -28), (56, -20), (38, -16), (27, -22)), "warm", 0.9),
    ]
    return [Shape(foot, "moss", shade=True), *house, *head_scaled(stalks, pose, (50, -56)), *face]
