"""Draws a learning-rate sweep as SVG; called by ``lr_run``. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from reel_shared.contracts.learning_rates import SweepPoint

_Scale = Callable[[float], float]
WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
COLOURS = ("#0a7d4f", "#b3541e", "#6a3d9a")
CLIPPED = 2.0
"""Losses beyond so many times the first one are drawn at the edge: what diverged would flatten the rest."""


def draw(points: Sequence[SweepPoint], suggestions: Mapping[str, float], *, title: str) -> str:
    """Return an SVG document: smoothed and raw loss over the rate, whose axis is logarithmic, and the suggestions."""
    first, last = math.log10(points[0].lr), math.log10(points[-1].lr)
    low = min(min(point.loss, point.raw_loss) for point in points)
    high = min(max(point.loss for point in points), CLIPPED * points[0].loss)

    def x(rate: float) -> float:
        return LEFT + (math.log10(rate) - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)

    def y(loss: float) -> float:
        return HEIGHT - BOTTOM - (min(loss, high) - low) / ((high - low) or 1) * (HEIGHT - TOP - BOTTOM)

    def line(values: Sequence[float], style: str) -> str:
        at = " ".join(f"{x(p.lr):.1f},{y(v):.1f}" for p, v in zip(points, values, strict=True))
        return f'<polyline points="{at}" fill="none" {style}/>'

    parts = [
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        *_axes(first, last, low, high, x, y),
        line([p.raw_loss for p in points], 'stroke="#9aa7b5" stroke-width="1"'),
        line([p.loss for p in points], 'stroke="#1f4e8c" stroke-width="2"'),
    ]
    for number, (name, rate) in enumerate(suggestions.items()):
        colour, at = COLOURS[number % len(COLOURS)], x(rate)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{colour}" '
            f'stroke-dasharray="4 3"/><text x="{at + 4:.1f}" y="{TOP + 14 + 16 * number}" fill="{colour}">'
            f"{escape(name)} {rate:.2g}</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _axes(first: float, last: float, low: float, high: float, x: _Scale, y: _Scale) -> list[str]:
    bottom = HEIGHT - BOTTOM
    parts = [f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="#333"/>']
    for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1):
        at = x(10.0**power)
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">1e{power}</text>')
    for loss in (low, (low + high) / 2, high):
        parts.append(f'<text x="{LEFT - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.3g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">learning rate</text>')
    parts.append(f'<text x="14" y="{TOP - 10}">loss</text>')
    return parts
