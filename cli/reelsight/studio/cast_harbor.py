"""The cast of Harbor Lights: Marlo the walrus keeper, Ada in her pointed hood, Pim the puffin."""

from __future__ import annotations

from reelsight.studio.anatomy import Pose, arm, bead, bobbed, cheek, eye, head_scaled, leg, smile
from reelsight.studio.shapes import Figure, Shape, arc, box, curve, ellipse, limb, polygon, tube


def marlo(pose: Pose) -> Figure:
    """A walrus in a long oilskin and a sou'wester, with two tusks."""
    far, _ = arm(pose, shoulder=(20, -60), half=1, length=30, radius=8, fill="gold", hand="wood")
    near, _ = arm(pose, shoulder=(-18, -60), half=0, length=32, radius=9, fill="gold", hand="wood")
    legs = [
        s
        for half, x in ((1, 12), (0, -12))
        for s in leg(pose, hip=(x, -22), half=half, length=22, radius=8, fill="deep", shoe="ink")
    ]
    coat = curve((-20, -72), (-36, -40), (-38, -16), (0, -12), (38, -16), (36, -40), (20, -72), (0, -78))
    body = [
        Shape(coat, "gold", shade=True),
        Shape(curve((2, -74), (9, -45), (8, -14), closed=False), None, 0.7, closed=False),
        *(Shape(ellipse(14, y, 3, steps=10), "deep", 0.5) for y in (-56, -42, -28)),
        Shape(arc(0, -66, 22, 8, start=10, end=170), None, 0.8, closed=False),
    ]
    return far + legs + bobbed(body, pose) + head_scaled(_marlo_head(pose), pose, (0, -70)) + near


def _marlo_head(pose: Pose) -> Figure:
    tusks = [Shape(limb((x, -80), (x + 2, -68), (x + 1, -56), (4, 2)), "white", 0.9) for x in (5, 19)]
    return [
        Shape(ellipse(4, -90, 27, 23), "wood", shade=True),
        *eye(pose, 0, -98, 5),
        *eye(pose, 17, -98, 5),
        *tusks,
        Shape(ellipse(10, -78, 6, 5) if pose.mouth < 0.3 else ellipse(11, -73, 7, 7), "deep", 0.6),
        Shape(ellipse(2, -84, 12, 8.5), "light", shade=True),
        Shape(ellipse(21, -84, 11, 8.5), "light"),
        *(Shape(ellipse(x, y, 0.9, steps=6), "ink", 0) for x, y in ((-3, -85), (1, -81), (23, -81), (26, -85))),
        Shape(ellipse(12, -91, 5, 3.6), "ink", 0),
        Shape(curve((-26, -98), (-44, -90), (-46, -84), (-20, -96), (6, -107), (32, -106), (36, -110), (22, -114)),
              "warm"),
        Shape(curve((-25, -100), (-22, -122), (2, -131), (24, -122), (28, -108), (4, -108)), "warm", shade=True),
    ]  # fmt: skip


def ada(pose: Pose) -> Figure:
    """A girl in a bell of a raincoat with a tall pointed hood, who carries a lantern."""
    far, _ = arm(pose, shoulder=(8, -50), half=1, length=20, radius=4.5, fill="cool", hand="skin")
    near, hand = arm(pose, shoulder=(-7, -50), half=0, length=23, radius=5, fill="cool", hand="skin")
    legs = [
        s
        for half, x in ((1, 7), (0, -6))
        for s in leg(
            pose, hip=(x, -20), half=half, length=20, radius=4.5, fill="light", shoe="warm", foot=1.1
        )
    ]
    coat = curve((-8, -60), (-16, -38), (-25, -14), (0, -10), (25, -14), (16, -38), (9, -60))
    body = [
        Shape(coat, "cool", shade=True),
        Shape(arc(0, -21, 24, 5, start=15, end=165), None, 0.7, closed=False),
        Shape(ellipse(6, -42, 2.4, steps=10), "gold", 0.5),
        Shape(ellipse(7, -31, 2.4, steps=10), "gold", 0.5),
    ]
    lantern = [
        Shape(arc(hand[0], hand[1] + 5, 6, 8, start=180, end=360), None, 0.7, closed=False),
        Shape(box(hand[0] - 6, hand[1] + 5, hand[0] + 6, hand[1] + 20), "gold", 0.9),
        Shape(ellipse(hand[0], hand[1] + 13, 3, 5, steps=12), "white", 0),
        Shape(
            polygon((hand[0] - 8, hand[1] + 6), (hand[0], hand[1]), (hand[0] + 8, hand[1] + 6)), "deep", 0.7
        ),
        Shape(box(hand[0] - 7, hand[1] + 19, hand[0] + 7, hand[1] + 22), "deep", 0.5),
    ]
    return far + legs + bobbed(body, pose) + head_scaled(_ada_head(pose), pose, (0, -58)) + lantern + near


def _ada_head(pose: Pose) -> Figure:
    return [
        Shape(curve((-22, -58), (-27, -82), (-20, -100), (-16, -116), (-22, -134), (-2, -114), (18, -102),
                    (27, -84), (22, -60), (0, -53)), "cool", shade=True),
        Shape(ellipse(5, -78, 18, 19), "skin"),
        Shape(curve((-13, -82), (-8, -96), (6, -99), (20, -92), (23, -84), (14, -88), (8, -85), (0, -90),
                    (-5, -83)), "deep", 0.6),
        *eye(pose, 0, -77, 5),
        *eye(pose, 14, -77, 5),
        cheek(-5, -68, 3.6),
        cheek(19, -68, 3),
        *smile(pose, 9, -66, 5),
    ]  # fmt: skip


def pim(pose: Pose) -> Figure:
    """A round puffin with a banded beak and a striped scarf."""
    feet = [
        s
        for half, x in ((1, 7), (0, -5))
        for s in leg(pose, hip=(x, -11), half=half, length=11, radius=3, fill="warm", shoe="warm", foot=1.7)
    ]
    flap = pose.reach * (38 + 10 * pose.sway)
    wing = curve((-6, -46), (-20, -36 - flap * 0.4), (-32 - flap * 0.3, -18 - flap), (-26, -12 - flap * 0.9),
                 (-10, -20 - flap * 0.3))  # fmt: skip
    body = [
        Shape(polygon((-16, -20), (-34, -12), (-30, -5), (-14, -10)), "ink", 0.8),
        Shape(ellipse(0, -32, 23, 25), "deep", shade=True),
        Shape(ellipse(7, -27, 15, 19), "white", 0.6),
        Shape(wing, "ink", 0.8),
    ]
    tail = -6 - 14 * abs(pose.sway) * min(1.0, pose.stride + pose.reach)
    scarf = [
        Shape(tube([(-12, -48), (-26, -46), (-40, -44 + tail)], (4, 6)), "warm", 0.8),
        Shape(tube([(-24, -46), (-30, -46 + tail * 0.4)], (4.5, 4.5)), "white", 0.4),
        Shape(curve((-17, -54), (0, -46), (18, -52), (19, -45), (0, -38), (-17, -46)), "warm"),
        Shape(polygon((-4, -47), (3, -46), (2, -39), (-4, -39)), "white", 0.4),
    ]
    head = [
        Shape(ellipse(2, -64, 20, 18), "deep", shade=True),
        Shape(ellipse(7, -63, 13, 12), "white", 0.6),
        Shape(curve((15, -75), (30, -74), (42, -60), (28, -54), (15, -54)), "warm"),
        Shape(polygon((15, -74), (21, -75), (21, -54), (15, -54)), "mid", 0.6),
        Shape(polygon((25, -75), (30, -73), (30, -55), (25, -54)), "gold", 0.5),
        Shape(curve((16, -63), (28, -61 + 3 * pose.mouth), (41, -60), closed=False), None, 0.8, closed=False),
        *bead(pose, 7, -67, 3.6),
        cheek(4, -56, 3.4),
    ]
    return feet + bobbed(body, pose) + bobbed(scarf, pose) + head_scaled(head, pose, (0, -50))
