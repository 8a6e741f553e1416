"""Owns the drawings of the pages: lines over steps, points with intervals, small maps; as SVG, without a script.

Called by the pages of trainings and models. Colours come from the style sheet by class, so that light and dark both
fit. Every drawing carries its title for those who do not see it; the page has the same figures in a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 22, 26
TICKS = 4
SCALE_TOP = 1e9
"""Larger losses are no figure worth an axis: a training that explodes is told by its state."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A line of ``(x, y)``; ``look`` is a class of the style sheet, ``dots`` marks each point."""

    name: str
    points: Sequence[Point]
    look: str
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the x axis with a name, such as a stage of a training."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Axes:
    """What part of the plane is drawn."""

    low: Point
    high: Point
    logarithmic: bool = field(default=False)

    def x(self, value: float) -> float:
        span = self.high[0] - self.low[0] or 1.0
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.low[0]) / span

    def y(self, value: float) -> float:
        low, high, value = self.low[1], self.high[1], value
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, self.low[1]))
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / ((high - low) or 1.0)


def lines(
    title: str,
    series: Sequence[Series],
    *,
    bands: Sequence[Band] = (),
    unit: str = "",
    bounds: tuple[float, float] | None = None,
    logarithmic: bool = False,
) -> Markup:
    """Return a drawing of lines over one x axis, or nothing where no point is.

    Args:
        bounds: of the y axis; without them those of the points, from 0 where that is near.
        logarithmic: of the y axis; points that are not above 0 are left out.
    """
    kept = [_finite(each, above_zero=logarithmic) for each in series]
    points = [point for each in kept for point in each.points]
    if not points:
        return Markup("")
    axes = _axes(points, bands, bounds, logarithmic)
    body = [
        *_bands(bands, axes),
        *_grid(axes, unit),
        *(part for each in kept for part in _line(each, axes)),
    ]
    return _svg("chart", title, body)


def _finite(series: Series, *, above_zero: bool) -> Series:
    points = [
        (x, y)
        for x, y in series.points
        if math.isfinite(y) and abs(y) < SCALE_TOP and (y > 0 or not above_zero)
    ]
    return Series(series.name, points, series.look, series.dots)


def _axes(
    points: Sequence[Point], bands: Sequence[Band], bounds: tuple[float, float] | None, logarithmic: bool
) -> Axes:
    xs = [x for x, _ in points] + [edge for band in bands for edge in (band.start, band.end)]
    ys = [y for _, y in points]
    low, high = bounds or (min(ys), max(ys))
    if bounds is None and not logarithmic:
        low = 0.0 if 0 <= low < high / 2 else low
        high += 0.05 * (high - low)
    if low == high:
        low, high = (low / 2, high * 2) if logarithmic else (low - 0.5, high + 0.5)
    return Axes((min(xs), low), (max(xs), high), logarithmic)


def _bands(bands: Sequence[Band], axes: Axes) -> list[str]:
    drawn = []
    for number, band in enumerate(bands):
        left, right = axes.x(band.start), axes.x(band.end)
        drawn.append(
            f'<rect class="band {"odd" if number % 2 else ""}" x="{left:.1f}" y="{TOP}" '
            f'width="{max(0.0, right - left):.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
        )
        if (room := int((right - left) / 6.2)) >= 3:
            name = band.name if len(band.name) <= room else band.name[: room - 1] + "…"
            drawn.append(f'<text class="name" x="{left + 4:.1f}" y="{TOP - 8}">{escape(name)}</text>')
    return drawn


def _grid(axes: Axes, unit: str) -> list[str]:
    drawn = []
    for value in _ticks(axes):
        y = axes.y(value)
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}">{_written(value, axes)}</text>')
    if unit:
        drawn.append(f'<text class="unit" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}">{escape(unit)}</text>')
    return drawn


def _ticks(axes: Axes) -> list[float]:
    low, high = axes.low[1], axes.high[1]
    if axes.logarithmic:
        first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
        return [10.0**power for power in range(first, last + 1)] or [low, high]
    rough = (high - low) / TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
    first = math.ceil(low / step - 1e-9)
    return [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _written(value: float, axes: Axes) -> str:
    return f"{value:.0e}" if axes.logarithmic else f"{value:.3g}"


def _line(series: Series, axes: Axes) -> list[str]:
    placed = [(axes.x(x), axes.y(min(max(y, axes.low[1]), axes.high[1]))) for x, y in series.points]
    drawn = []
    if len(placed) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        drawn.append(f'<polyline class="line {series.look}" points="{path}"/>')
    if series.dots or len(placed) == 1:
        drawn += [
            f'<circle class="dot {series.look}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">'
            f"<title>{escape(series.name)} {value:.4g}</title></circle>"
            for (x, y), (_, value) in zip(placed, series.points, strict=True)
        ]
    return drawn


def heat(title: str, rows: Sequence[Sequence[float]], *, look: str = "warm") -> Markup:
    """Return a small map, dark where nothing is; rows from the top. Values are taken relative to the largest."""
    top = max((value for row in rows for value in row), default=0.0)
    if top <= 0:
        return Markup("")
    columns = max(len(row) for row in rows)
    cells = [
        f'<rect class="{look}" x="{x}" y="{y}" width="1.02" height="1.02" opacity="{value / top:.2f}"/>'
        for y, row in enumerate(rows)
        for x, value in enumerate(row)
        if value > 0
    ]
    return _svg("heat", title, cells, view=f"0 0 {columns} {len(rows)}", stretched=True)


def interval(value: float, bounds: tuple[float, float] | None, title: str) -> Markup:
    """Return a share between 0 and 1 as a bar with its interval as a line across the end."""
    body = [
        '<rect class="track" width="100" height="6" y="3" rx="3"/>',
        f'<rect class="share" width="{100 * value:.1f}" height="6" y="3" rx="3"/>',
    ]
    if bounds is not None:
        left, right = 100 * bounds[0], 100 * bounds[1]
        body.append(
            f'<path class="whisker" d="M{left:.1f} 6H{right:.1f}M{left:.1f} 2.5v7M{right:.1f} 2.5v7"/>'
        )
    return _svg("interval", title, body, view="-1 0 102 12", stretched=True)


def reliability(title: str, bins: Sequence[tuple[float, float, int]]) -> Markup:
    """Return confidence against accuracy, ``(confidence, accuracy, images)`` a bin, with the diagonal."""
    if not bins:
        return Markup("")
    side = HEIGHT - TOP - BOTTOM
    most = max(images for _, _, images in bins)

    def place(confidence: float, accuracy: float) -> Point:
        return LEFT + side * confidence, HEIGHT - BOTTOM - side * accuracy

    (x0, y0), (x1, y1) = place(0, 0), place(1, 1)
    body = [f'<line class="even" x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}"/>']
    for share in (0.0, 0.5, 1.0):
        x, y = place(share, share)
        body.append(f'<line class="grid" x1="{x0}" x2="{x1}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}">{share:.1f}</text>')
        body.append(f'<text class="below" x="{x:.1f}" y="{HEIGHT - 8}">{share:.1f}</text>')
    path = " ".join("{:.1f},{:.1f}".format(*place(confidence, accuracy)) for confidence, accuracy, _ in bins)
    body.append(f'<polyline class="line s0" points="{path}"/>')
    for confidence, accuracy, images in bins:
        x, y = place(confidence, accuracy)
        radius = 2.5 + 4.5 * math.sqrt(images / most)
        body.append(
            f'<circle class="dot s0" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">'
            f"<title>confidence {confidence:.2f}, accuracy {accuracy:.2f}, {images} pictures</title></circle>"
        )
    return _svg("chart square", title, body, view=f"0 0 {LEFT + side + RIGHT} {HEIGHT}")


def _svg(
    look: str,
    title: str,
    body: Sequence[str],
    *,
    view: str = f"0 0 {WIDTH} {HEIGHT}",
    stretched: bool = False,
) -> Markup:
    """Join a drawing; what comes from people, titles and names, is escaped here and where ``body`` is made."""
    ratio = ' preserveAspectRatio="none"' if stretched else ""
    return Markup(  # noqa: S704  # nosec B704
        f'<svg class="{look}" viewBox="{view}" role="img"{ratio}>'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )
