"""The cast of The Tin Orchard: Bolt the boxy robot, Dot the ball on a wheel, Tilly the watering-can dog."""

from __future__ import annotations

import numpy as np

from reelsight.studio.anatomy import Pose, bobbed, cheek, eye, head_scaled, step
from reelsight.studio.shapes import (
    Figure,
    Shape,
    arc,
    curve,
    ellipse,
    limb,
    polygon,
    rotated,
    rounded,
    star,
    tube,
)


def bolt(pose: Pose) -> Figure:
    """A robot of two boxes with one big lens, a spring neck, claws and an antenna."""
    legs: Figure = []
    for half, x in ((1, 11), (0, -11)):
        fx, fy = step(pose, hip=(x, -24), half=half, length=24)
        legs.append(Shape(limb((x, -26), ((x + fx) / 2 + 3, (fy - 24) / 2), (fx, fy - 6), (4, 4)), "deep"))
        legs.append(Shape(polygon((fx - 9, fy), (fx - 7, fy - 9), (fx + 8, fy - 9), (fx + 13, fy)), "warm"))
    body = [
        Shape(rounded(-26, -66, 26, -22, 5), "cool", shade=True),
        Shape(rounded(-17, -58, 17, -38, 3), "white", 0.7),
        Shape(arc(0, -41, 12, 12, start=200, end=340), None, 0.7, closed=False),
        Shape(polygon((0, -41), (7 * pose.sway, -51)), None, 0.9, closed=False),
        *(
            Shape(ellipse(x, -30, 3, steps=10), f, 0.6)
            for x, f in ((-14, "warm"), (-4, "gold"), (6, "white"))
        ),
        *(Shape(ellipse(x, y, 1.4, steps=8), "ink", 0) for x in (-22, 22) for y in (-62, -26)),
        *(Shape(rounded(-8, y, 8, y + 4, 2), "mid", 0.6) for y in (-70, -74)),
    ]
    head = [
        Shape(tube([(0, -112), (2, -122), (0 + 4 * pose.sway, -132)], (1.4, 1.4)), "deep", 0.8),
        Shape(ellipse(4 * pose.sway, -136, 6.5), "warm"),
        Shape(rounded(-31, -104, -24, -84, 2), "gold"),
        Shape(rounded(24, -104, 31, -84, 2), "gold"),
        Shape(rounded(-25, -114, 25, -74, 6), "cool", shade=True),
        Shape(ellipse(4, -96, 16, 15), "white"),
        *_lens(pose, 4, -96),
        Shape(
            rounded(-10, -81, 16, -76, 2) if pose.mouth < 0.3 else rounded(-10, -82, 16, -75, 2), "ink", 0.4
        ),
        *(Shape(polygon((x, -81), (x, -76)), None, 0.5, closed=False, ink="white") for x in (-3, 3, 9)),
    ]
    return _claw(pose, 1) + legs + bobbed(body, pose) + head_scaled(head, pose, (0, -72)) + _claw(pose, 0)


def _lens(pose: Pose, x: float, y: float) -> Figure:
    if pose.blink > 0.5:
        return [Shape(polygon((x - 15, y), (x + 15, y)), None, 1.2, closed=False)]
    x += pose.look * 4
    return [
        Shape(ellipse(x, y, 10, 10), "sea", 0.7),
        Shape(ellipse(x, y, 5.5, steps=16), "ink", 0),
        Shape(ellipse(x - 3, y - 3.4, 2.2, steps=10), "white", 0),
    ]


def _claw(pose: Pose, half: int) -> Figure:
    side = 1 if half else -1
    swing = -np.sin(2 * np.pi * (pose.phase + half / 2)) * 30 * min(pose.stride, 1.3)
    angle = np.radians(side * (14 + (0 if half else pose.reach * (118 + 16 * pose.sway))) + swing)
    root = (side * 26.0, -58.0)
    end = root[0] + np.sin(angle) * 34, root[1] + np.cos(angle) * 34
    elbow = root[0] + np.sin(angle + side * 0.5) * 18, root[1] + np.cos(angle + side * 0.5) * 18
    grip = curve((-7, 0), (-9, 8), (-3, 14), (-2, 8), (0, 5), (2, 8), (3, 14), (9, 8), (7, 0), (0, -4))
    hand = rotated(grip, float(-np.degrees(angle))) + end
    return [
        Shape(limb(root, elbow, end, (4, 4)), "deep"),
        Shape(ellipse(root[0], root[1], 6), "gold"),
        Shape(hand, "mid"),
    ]


def dot(pose: Pose) -> Figure:
    """A ball of a robot in two bands on a single wheel, with a whirling rotor on top."""
    roll = 360 * pose.phase * (1 if pose.stride else 0.15)
    wheel = [
        Shape(ellipse(0, -15, 15, 15), "ink", 0.8),
        Shape(ellipse(0, -15, 9, 9), "gold", 0.7),
        *(
            Shape(rotated(polygon((0, -23), (0, -7)), roll + k, (0, -15)), None, 0.7, closed=False)
            for k in (0, 90)
        ),
        Shape(polygon((-4, -15), (-9, -34), (9, -34), (4, -15)), "deep"),
    ]
    spin = abs(np.cos(2 * np.pi * pose.phase * 2)) * 26 + 4
    ball = [
        Shape(tube([(0, -94), (0, -106)], (1.6, 1.6)), "deep", 0.8),
        Shape(curve((0, -108), (-spin, -112), (-spin, -105)), "warm", 0.9),
        Shape(curve((0, -108), (spin, -112), (spin, -105)), "warm", 0.9),
        Shape(ellipse(0, -108, 3.4), "gold", 0.8),
        Shape(ellipse(0, -62, 33, 33, steps=32), "warm", shade=True),
        Shape(curve((-33, -66), (-31, -52), (0, -44), (31, -52), (33, -66), (0, -58)), "white", 0.9),
        Shape(star(0, -41, 8), "gold", 0.7),
    ]
    flap = pose.reach * (60 + 20 * pose.sway)
    fins = [
        Shape(
            rotated(curve((-32, -66), (-52, -60), (-56, -48), (-42, -46), (-33, -54)), flap, (-33, -60)),
            "gold",
        ),
        Shape(
            rotated(curve((32, -66), (50, -60), (54, -48), (42, -46), (33, -54)), -flap * 0.5, (33, -60)),
            "gold",
        ),
    ]
    face = [
        *eye(pose, -6, -76, 7.5),
        *eye(pose, 14, -76, 7.5),
        cheek(-16, -66, 4),
        cheek(24, -66, 4),
    ]
    if pose.mouth > 0.25:
        face.append(Shape(ellipse(4, -63, 5, 5 * pose.mouth), "ink", 0.4))
    lean = 9 * pose.sway * min(1.0, pose.stride)
    tilted = [s.moved(rotated(s.points, lean, (0, -15))) for s in fins + ball + face]
    grown = [s.moved((s.points - (0, -34)) * (0.75 + 0.25 * pose.head) + (0, -34)) for s in tilted]
    return wheel + grown


def tilly(pose: Pose) -> Figure:
    """A dog made of a watering can: spout for a nose, handle for a tail."""
    legs: Figure = []
    for half, x in ((1, 20), (0, -22), (0, 14), (1, -16)):
        fx, fy = step(pose, hip=(x, -18), half=half, length=18)
        legs.append(Shape(limb((x, -22), ((x + fx) / 2, (fy - 20) / 2), (fx, fy - 3), (4.4, 3.6)), "deep"))
        legs.append(Shape(ellipse(fx + 2, fy - 3.5, 6.5, 3.8), "gold"))
    wag = 6 * pose.sway
    tail = arc(-30, -50 + wag * 0.3, 24, 20, start=60, end=300, steps=14)
    can = [
        Shape(tube(tail, (4, 4)), "gold"),
        Shape(curve((-30, -70), (-32, -44), (-28, -20), (0, -17), (26, -20), (30, -44), (28, -70), (0, -73)), "mid",
              shade=True),
        Shape(curve((-31, -52), (0, -48), (30, -52), (30, -42), (0, -38), (-31, -42)), "warm", 0.9),
        Shape(star(-12, -30, 6, tips=6), "white", 0.6),
    ]  # fmt: skip
    head = [
        Shape(tube([(20, -36), (40, -52), (62, -74)], (7, 5, 4)), "mid"),
        Shape(polygon((55, -72), (68, -86), (78, -74), (66, -64)), "gold"),
        *(Shape(ellipse(x, y, 1.3, steps=6), "ink", 0) for x, y in ((66, -78), (70, -74), (67, -70))),
        Shape(ellipse(14, -80, 22, 17), "mid", shade=True),
        Shape(
            curve((-2, -94), (-16, -94), (-22, -78 + wag * 0.5), (-14, -66 + wag * 0.5), (-4, -78)), "cool"
        ),
        *eye(pose, 12, -82, 6),
        *eye(pose, 27, -82, 5.4),
        cheek(10, -72, 4),
        Shape(curve((18, -71), (25, -68 + 5 * pose.mouth), (32, -73), closed=False), None, 0.8, closed=False),
    ]
    return (
        legs[:4]
        + bobbed(can[:1], pose)
        + legs[4:]
        + bobbed(can[1:], pose)
        + head_scaled(head, pose, (16, -66))
    )
