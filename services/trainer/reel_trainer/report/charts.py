"""Line charts as coordinates; ``charts.html`` draws them as SVG in the colours of the page. Called by ``page``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

WIDTH, HEIGHT = 480.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 22.0, 40.0
MOST_DOTS = 60
"""Of a line; more would run into one another, and each weighs as much as its title."""


@dataclass(frozen=True)
class Line:
    """``points`` in the data's own units; ``radii`` in pixels, one for each, or none: short lines have plain dots."""

    name: str
    points: Sequence[Point]
    radii: Sequence[float] = ()


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    radius: float
    title: str


@dataclass(frozen=True)
class Drawn:
    name: str
    path: str
    dots: list[Dot]


@dataclass(frozen=True)
class Band:
    left: float
    width: float
    name: str


@dataclass(frozen=True)
class Chart:
    """All in pixels of a WIDTH x HEIGHT drawing."""

    title: str
    x_label: str
    lines: list[Drawn]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    bands: list[Band] = field(default_factory=list)
    diagonal: str = ""
    mark: Dot | None = None
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Scale:
    """From the data's ``low`` .. ``high`` to the drawing's ``start`` .. ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    x_range: Point | None = None,
    y_range: Point | None = None,
    percent: bool = False,
    whole: bool = False,
    bands: Sequence[tuple[float, float, str]] = (),
    diagonal: bool = False,
    mark: tuple[float, float, str] | None = None,
) -> Chart | None:
    """Return a chart of lines; None where there is not a single point.

    Args:
        percent: the y axis counts in per cent.
        whole: between two whole numbers of the x axis there is nothing.
        bands: (from, to, name) along x, such as the stages of a training.
        diagonal: a line for y = x.
        mark: (x, y, text) of a place to point at.
    """
    points = [point for line in lines for point in line.points]
    if not points:
        return None
    x = _scale([point[0] for point in points], x_range, LEFT, WIDTH - RIGHT)
    y = _scale([point[1] for point in points], y_range, HEIGHT - BOTTOM, TOP)
    return Chart(
        title=title,
        x_label=x_label,
        lines=[_draw(line, x, y, percent) for line in lines if line.points],
        x_ticks=[
            Tick(x(value), f"{value:g}") for value in ticks(x.low, x.high) if not whole or value.is_integer()
        ],
        y_ticks=[Tick(y(value), _said(value, percent)) for value in ticks(y.low, y.high)],
        bands=[Band(x(low), round(x(high) - x(low), 1), name) for low, high, name in bands],
        diagonal=f"M{x(0)} {y(0)}L{x(1)} {y(1)}" if diagonal else "",
        mark=Dot(x(mark[0]), y(mark[1]), 6, mark[2]) if mark else None,
    )


def ticks(low: float, high: float, *, wanted: int = 5) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) between ``low`` and ``high``."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _scale(values: Sequence[float], given: Point | None, start: float, end: float) -> Scale:
    low, high = given or (min(values), max(values))
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = (low - 0.5, high + 0.5)
    return Scale(low, high, start, end)


def _draw(line: Line, x: Scale, y: Scale, percent: bool) -> Drawn:
    places = [(x(at), y(value)) for at, value in line.points]
    radii = line.radii or [2.5] * (len(places) if len(places) <= MOST_DOTS else 0)
    dots = [
        Dot(left, top, round(radius, 1), f"{line.name}: {_said(value, percent)} at {at:.3g}")
        for (left, top), (at, value), radius in zip(places, line.points, radii, strict=False)
    ]
    return Drawn(line.name, "M" + "L".join(f"{left} {top}" for left, top in places), dots)


def _said(value: float, percent: bool) -> str:
    return f"{100 * value:.3g} %" if percent else f"{value:.3g}"
