"""A set built for one scene: a far layer and a ground layer that move apart as the camera does. Called by films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from reelsight.studio.brush import Brush, Hour
from reelsight.studio.ink import Picture
from reelsight.studio.palettes import Manner, Palette

WIDTH, HEIGHT = 1080, 430  # of a painted set; a film frame shows 640 x 360 of it at zoom 1
FRAME_WIDTH, FRAME_HEIGHT = 640, 360
FAR_PARALLAX = 0.45

Painter = Callable[[Picture, Brush], None]


@dataclass(frozen=True, slots=True)
class Set:
    """A place of a film: what is far away, and what stands on the ground (None indoors: all is near)."""

    name: str
    far: Painter
    ground: Painter | None = None


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Both layers have four channels: OpenCV moves those three times as fast as three."""

    far: Picture  # the fourth is idle
    near: (
        Picture | None
    )  # premultiplied by its own coverage; the fourth is 255 where the far layer shows through


@dataclass(frozen=True, slots=True)
class View:
    """What the camera sees: the set's point in the middle of the frame, and the magnification."""

    x: float
    y: float
    zoom: float

    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.x) * self.zoom + FRAME_WIDTH / 2, (y - self.y) * self.zoom + FRAME_HEIGHT / 2


def build(place: Set, *, palette: Palette, manner: Manner, hour: Hour, seed: int) -> Backdrop:
    def painted(painter: Painter, base: int) -> Picture:
        canvas: Picture = np.full((HEIGHT, WIDTH, 3), base, np.uint8)
        painter(canvas, Brush(palette, manner, hour, np.random.default_rng(seed)))
        return canvas

    far = np.asarray(cv2.cvtColor(painted(place.far, 0), cv2.COLOR_BGR2BGRA), np.uint8)
    if place.ground is None:
        return Backdrop(far, None)
    # Painting is linear in what lies beneath, so the same strokes on black and on white give the coverage.
    on_black, on_white = painted(place.ground, 0), painted(place.ground, 255)
    return Backdrop(far, np.dstack([on_black, (on_white - on_black)[..., 1]]))


def clamp(view: View) -> View:
    """Keep the frame inside the painted set."""
    half_w, half_h = FRAME_WIDTH / 2 / view.zoom, FRAME_HEIGHT / 2 / view.zoom
    x = min(max(view.x, half_w + 1), WIDTH - half_w - 1)
    y = min(max(view.y, half_h + 1), HEIGHT - half_h - 1)
    return View(x, y, view.zoom)


def photograph(backdrop: Backdrop, view: View) -> Picture:
    """The set as the camera sees it, (360, 640, 3)."""
    single = backdrop.near is None
    distance = 1.0 if single else FAR_PARALLAX
    zoom = view.zoom if single else 1 + (view.zoom - 1) * 0.6
    far_view = clamp(
        View(WIDTH / 2 + (view.x - WIDTH / 2) * distance, HEIGHT / 2 + (view.y - HEIGHT / 2) * distance, zoom)
        if not single
        else view
    )
    frame = _opaque(_framed(backdrop.far, far_view))
    if backdrop.near is not None:
        near = _framed(backdrop.near, view)
        gap = cv2.cvtColor(cv2.extractChannel(near, 3), cv2.COLOR_GRAY2BGR)
        cv2.multiply(frame, gap, frame, 1 / 255)
        cv2.add(frame, _opaque(near), frame)
    return frame


def _opaque(layer: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR), np.uint8)


def _framed(layer: Picture, view: View) -> Picture:
    matrix = np.array(
        [
            [view.zoom, 0, FRAME_WIDTH / 2 - view.x * view.zoom],
            [0, view.zoom, FRAME_HEIGHT / 2 - view.y * view.zoom],
        ],
        dtype=np.float64,
    )
    size = (FRAME_WIDTH, FRAME_HEIGHT)
    return np.asarray(cv2.warpAffine(layer, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
