"""Poses, and the limbs and faces that most characters share. Called by the casts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reelsight.studio.shapes import Figure, Points, Shape, arc, ellipse, limb


@dataclass(frozen=True, slots=True)
class Pose:
    """One moment of a character that faces right; a figure stands on y = 0 and is about 100 units tall."""

    phase: float = 0.0  # of the walk or of the gesture, 0 to 1
    stride: float = 0.0  # 0 stands, 1 walks, more runs
    reach: float = 0.0  # front arm: 0 hangs, 1 points up
    look: float = 0.0  # pupils: -1 back, 1 ahead
    blink: float = 0.0
    mouth: float = 0.0  # 0 smiles, 1 is wide open
    head: float = 1.0  # size of the head, for fan art in other proportions

    @property
    def bob(self) -> float:
        return -abs(self.sway) * 3.0 * min(self.stride, 1.4)

    @property
    def sway(self) -> float:
        return float(np.sin(2 * np.pi * self.phase))


def step(pose: Pose, *, hip: tuple[float, float], half: int, length: float) -> tuple[float, float]:
    """Where the foot is; `half` 0 is the near leg, 1 the far one, half a cycle later."""
    turn = 2 * np.pi * (pose.phase + half / 2)
    x = hip[0] + np.sin(turn) * pose.stride * length * 0.55
    return x, hip[1] + length - max(0.0, np.cos(turn)) * min(pose.stride, 1.2) * length * 0.35


def leg(
    pose: Pose,
    *,
    hip: tuple[float, float],
    half: int,
    length: float,
    radius: float,
    fill: str,
    shoe: str,
    foot: float = 1.0,
) -> Figure:
    x, y = step(pose, hip=hip, half=half, length=length)
    knee = ((hip[0] + x) / 2 + pose.stride * length * 0.12, (hip[1] + y) / 2)
    sole = ellipse(x + radius * 0.7 * foot, y - radius * 0.55, radius * 1.7 * foot, radius * 0.95)
    return [
        Shape(limb(hip, knee, (x, y - radius * 0.6), (radius, radius * 0.8)), fill),
        Shape(sole, shoe),
    ]


def arm(
    pose: Pose,
    *,
    shoulder: tuple[float, float],
    half: int,
    length: float,
    radius: float,
    fill: str,
    hand: str,
    grip: float = 1.15,
) -> tuple[Figure, tuple[float, float]]:
    """The arm and where its hand is. Only the near arm (`half` 0) reaches."""
    swing = -np.sin(2 * np.pi * (pose.phase + half / 2)) * 38 * min(pose.stride, 1.3)
    lift = pose.reach * (128 + 20 * pose.sway) if half == 0 else -pose.reach * 25
    angle = np.radians(12 * (2 * half - 1) + swing - lift)
    end = shoulder[0] + np.sin(angle) * length, shoulder[1] + np.cos(angle) * length
    bent = angle - np.radians(22) * (1 - 2 * half)
    elbow = shoulder[0] + np.sin(bent) * length * 0.52, shoulder[1] + np.cos(bent) * length * 0.52
    shapes = [
        Shape(limb(shoulder, elbow, end, (radius, radius * 0.85)), fill),
        Shape(ellipse(end[0], end[1], radius * grip), hand),
    ]
    return shapes, end


def eye(pose: Pose, x: float, y: float, r: float, *, white: str = "white", tall: float = 1.2) -> Figure:
    """A cartoon eye: white, pupil, spark; a curved lid when it blinks."""
    if pose.blink > 0.5:
        return [Shape(arc(x, y - r * 0.2, r, r * 0.6, start=10, end=170), None, 1.1, closed=False)]
    px, py = x + pose.look * r * 0.34, y + r * 0.08
    return [
        Shape(ellipse(x, y, r, r * tall, steps=18), white, 0.5),
        Shape(ellipse(px, py, r * 0.5, r * 0.66, steps=14), "ink", 0),
        Shape(ellipse(px - r * 0.16, py - r * 0.28, r * 0.22, steps=8), "white", 0),
    ]


def bead(pose: Pose, x: float, y: float, r: float) -> Figure:
    """A small dark eye."""
    if pose.blink > 0.5:
        return [Shape(arc(x, y - r * 0.3, r * 1.2, r * 0.7, start=10, end=170), None, 1.0, closed=False)]
    x += pose.look * r * 0.3
    return [
        Shape(ellipse(x, y, r, r * 1.15, steps=14), "ink", 0),
        Shape(ellipse(x - r * 0.25, y - r * 0.4, r * 0.34, steps=8), "white", 0),
    ]


def smile(pose: Pose, x: float, y: float, width: float) -> Figure:
    if pose.mouth > 0.25:
        return [Shape(ellipse(x, y + width * 0.15, width * 0.55, width * 0.75 * pose.mouth), "deep", 0.7)]
    return [Shape(arc(x, y - width * 0.25, width, width * 0.7, start=20, end=160), None, 0.8, closed=False)]


def cheek(x: float, y: float, r: float) -> Shape:
    return Shape(ellipse(x, y, r, r * 0.7, steps=12), "blush", 0)


def head_scaled(figure: Figure, pose: Pose, neck: tuple[float, float]) -> Figure:
    """The head's shapes, larger or smaller about the neck and carried by the bob of the walk."""
    about = np.array(neck)
    lift = np.array([0.0, pose.bob])
    return [s.moved((s.points - about) * pose.head + about + lift) for s in figure]


def bobbed(figure: Figure, pose: Pose) -> Figure:
    lift = np.array([0.0, pose.bob])
    return [s.moved(s.points + lift) for s in figure]


def spine(x0: float, y0: float, x1: float, y1: float, *, sag: float) -> Points:
    """A quadratic curve between two points, pushed down by `sag`: ropes, tails, beams."""
    t = np.linspace(0, 1, 12)[:, None]
    a, b = np.array([x0, y0]), np.array([x1, y1])
    mid = (a + b) / 2 + (0, sag)
    line: Points = (1 - t) ** 2 * a + 2 * t * (1 - t) * mid + t**2 * b
    return line
