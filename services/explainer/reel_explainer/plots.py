"""Draws deletion and insertion curves, small. Called by the task ``explain_picture``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from reel_explainer.faithfulness import Curves
from reel_explainer.overlay import BLUE, RED, Pixels

WIDTH, HEIGHT, EDGE = 260, 180, 10


def curve_plot(found: Curves) -> Pixels:
    """Return a plot (HEIGHT, WIDTH, 3): probability over the part of the pixels; deletion red, insertion blue."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((EDGE, EDGE, WIDTH - EDGE, HEIGHT - EDGE), outline="silver")
    for curve, colour in ((found.deletion, RED), (found.insertion, BLUE)):
        draw.line(_points(curve), fill=colour, width=2)
    return np.asarray(image)


def _points(curve: Sequence[float]) -> list[tuple[float, float]]:
    across, down = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
    return [
        (EDGE + across * place / (len(curve) - 1), HEIGHT - EDGE - down * value)
        for place, value in enumerate(curve)
    ]
