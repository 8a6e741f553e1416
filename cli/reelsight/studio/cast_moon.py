"""The cast of Paper Moon Express: Odile the cat conductor, Luno the moon child, Hoot the owl."""

from __future__ import annotations

from reelsight.studio.anatomy import Pose, arm, bead, bobbed, cheek, eye, head_scaled, leg, smile
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


def odile(pose: Pose) -> Figure:
    """A cat in a conductor's cap and a long belted coat, with a ringed tail."""
    far, _ = arm(pose, shoulder=(10, -58), half=1, length=26, radius=4.5, fill="warm", hand="light")
    near, _ = arm(pose, shoulder=(-10, -58), half=0, length=28, radius=5, fill="warm", hand="light")
    legs = [
        s
        for half, x in ((1, 7), (0, -6))
        for s in leg(pose, hip=(x, -22), half=half, length=22, radius=4.5, fill="ink", shoe="ink", foot=1.3)
    ]
    w = 7 * pose.sway
    path = curve(
        (-14, -24), (-38, -16), (-52, -36), (-44 + w * 0.4, -58), (-56 + w, -78), (-48 + w, -92), closed=False
    )
    rings = [Shape(tube(path[i : i + 4], (5.6, 5.6)), "ink", 0.3) for i in range(8, len(path) - 4, 7)]
    tail = [Shape(tube(path, (5, 5.5)), "light"), *rings]
    coat = curve((-10, -66), (-15, -44), (-22, -18), (0, -13), (22, -18), (14, -44), (10, -66))
    body = [
        Shape(coat, "warm", shade=True),
        Shape(polygon((-3, -66), (12, -66), (5, -52)), "white", 0.6),
        Shape(polygon((3, -62), (8, -62), (9, -48), (5, -44), (2, -48)), "gold", 0.6),
        Shape(polygon((-15, -42), (14, -42), (15, -36), (-16, -36)), "ink", 0.6),
        Shape(box(0, -43, 9, -35), "gold", 0.6),
        *(Shape(ellipse(6, y, 1.9, steps=10), "gold", 0.3) for y in (-30, -22)),
    ]
    head = [
        Shape(polygon((-22, -84), (-20, -112), (-2, -98)), "light"),
        Shape(polygon((26, -86), (28, -112), (8, -98)), "light"),
        Shape(polygon((23, -93), (25, -106), (14, -98)), "blush", 0.3),
        Shape(polygon((-18, -91), (-17, -106), (-7, -98)), "blush", 0.3),
        Shape(
            curve((-28, -78), (-22, -96), (2, -101), (26, -96), (32, -78), (18, -64), (2, -61), (-16, -65)),
            "light",
            shade=True,
        ),
        *eye(pose, -6, -80, 5.6, white="glow"),
        *eye(pose, 16, -80, 5.6, white="glow"),
        Shape(polygon((2, -74), (9, -74), (5.5, -70)), "warm", 0.4),
        *smile(pose, 5.5, -67, 4.5),
        *(
            Shape(polygon((x0, y0), (x1, y1)), None, 0.5, closed=False)
            for x0, y0, x1, y1 in (
                (-12, -71, -32, -74),
                (-12, -69, -31, -66),
                (20, -71, 40, -74),
                (20, -69, 39, -66),
            )
        ),
        Shape(polygon((-17, -94), (-14, -112), (20, -113), (22, -95), (2, -99)), "cool", shade=True),
        Shape(curve((-8, -93), (8, -97), (26, -93), (36, -88), (24, -88), (6, -91)), "ink", 0.6),
        Shape(star(4, -105, 5), "gold", 0.4),
    ]
    return far + bobbed(tail, pose) + legs + bobbed(body, pose) + near + head_scaled(head, pose, (2, -62))


def luno(pose: Pose) -> Figure:
    """A child whose head is a crescent moon, in a robe of stars, with a star on a rod."""
    far, _ = arm(pose, shoulder=(9, -46), half=1, length=20, radius=4.5, fill="cool", hand="glow")
    near, hand = arm(pose, shoulder=(-9, -46), half=0, length=22, radius=5, fill="cool", hand="glow")
    robe = curve(
        (-9, -56), (-16, -36), (-28, -6), (-14, -2), (0, -6), (14, -2), (28, -6), (16, -36), (9, -56)
    )
    feet = [
        s
        for half, x in ((1, 9), (0, -9))
        for s in leg(pose, hip=(x, -12), half=half, length=12, radius=4, fill="deep", shoe="gold", foot=1.4)
    ]
    body = [
        Shape(robe, "cool", shade=True),
        *(
            Shape(star(x, y, r), "gold", 0.3)
            for x, y, r in ((-12, -18, 5), (9, -26, 4.4), (14, -12, 4), (-3, -38, 3.6))
        ),
        Shape(curve((-13, -56), (0, -50), (13, -56), (11, -49), (0, -44), (-11, -49)), "white", 0.7),
    ]
    moon = curve(
        (14, -128),
        (-12, -122),
        (-27, -98),
        (-24, -72),
        (-4, -54),
        (22, -54),
        (32, -62),
        (16, -65),
        (8, -72),
        (13, -80),
        (7, -86),
        (4, -96),
        (6, -112),
    )
    head = [
        Shape(moon, "glow", shade=True),
        *eye(pose, -4, -90, 5.2),
        cheek(-8, -76, 4.6),
        Shape(arc(4, -70, 6, 5, start=40, end=170), None, 0.8, closed=False),
        Shape(arc(-15, -112, 4, 4, start=0, end=330), None, 0.5, closed=False, ink="gold"),
        Shape(arc(-18, -70, 3, 3, start=0, end=330), None, 0.5, closed=False, ink="gold"),
        Shape(polygon((14, -128), (24, -122), (28, -112)), None, 0.6, closed=False),
        Shape(star(29, -106, 6.5), "gold", 0.5),
    ]
    x, y = hand
    rod = [
        Shape(tube([(x - 4, y + 16), (x - 14, y - 30)], (1.8, 1.4)), "wood", 0.5),
        Shape(star(x - 16, y - 40, 13, turn=20 * pose.sway), "gold", 0.8),
    ]
    return far + feet + bobbed(body, pose) + head_scaled(head, pose, (0, -54)) + rod + near


def hoot(pose: Pose) -> Figure:
    """A barrel of an owl with ear tufts, a monocle, scaled plumage and a suitcase."""
    feet = [
        s
        for half, x in ((1, 11), (0, -9))
        for s in leg(pose, hip=(x, -9), half=half, length=9, radius=3.4, fill="gold", shoe="gold", foot=1.6)
    ]
    flap = pose.reach * (64 + 16 * pose.sway)
    scales = [
        Shape(arc(x, y, 7, 8, start=0, end=180), None, 0.7, closed=False)
        for row, y in enumerate((-46, -36, -26))
        for x in ((-9, 4, 17) if row % 2 else (-15, -2, 11, 22))
    ]
    body = [
        Shape(
            curve((-26, -74), (-37, -40), (-30, -10), (0, -4), (30, -10), (37, -40), (28, -74)),
            "wood",
            shade=True,
        ),
        Shape(ellipse(4, -32, 24, 25), "light", 0.6),
        *scales,
        Shape(rotated(curve((-26, -64), (-44, -44), (-40, -16), (-27, -22)), flap, (-28, -62)), "deep"),
        Shape(rotated(curve((30, -64), (44, -46), (42, -20), (31, -26)), -flap * 0.3, (30, -62)), "deep"),
    ]
    case = [
        Shape(arc(46, -22, 7, 8, start=180, end=360), None, 0.9, closed=False),
        Shape(rounded(28, -22, 64, 0, 3), "roof"),
        Shape(box(34, -22, 38, 0), "gold", 0.4),
        Shape(box(54, -22, 58, 0), "gold", 0.4),
    ]
    head = [
        Shape(polygon((-28, -84), (-34, -116), (-6, -98)), "wood"),
        Shape(polygon((30, -84), (36, -116), (10, -98)), "wood"),
        Shape(
            curve((-30, -80), (-24, -98), (2, -102), (26, -98), (32, -80), (24, -64), (0, -60), (-24, -64)),
            "wood",
            shade=True,
        ),
        Shape(ellipse(-9, -82, 14, 14), "white", 0.7),
        Shape(ellipse(16, -82, 14, 14), "white", 0.7),
        *bead(pose, -8, -82, 6.4),
        *bead(pose, 16, -82, 6.4),
        Shape(arc(16, -82, 15, 15, start=0, end=355, steps=24), None, 1.1, closed=False, ink="gold"),
        Shape(curve((29, -74), (36, -60), (30, -44), closed=False), None, 0.6, closed=False, ink="gold"),
        Shape(curve((-1, -78), (4, -82), (9, -78), (4, -64 + 3 * pose.mouth)), "gold", 0.8),
    ]
    return feet + bobbed(body, pose) + bobbed(case, pose) + head_scaled(head, pose, (2, -62))
