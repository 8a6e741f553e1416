"""Several drawings in one file: the article's row of pictures, contact sheets of channels, a fade between labels.

Called by ``explain``.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reel_explainer.overlay import Pixels, png
from reel_networks.colormaps import COLORMAPS

TITLE = 22
"""Height of a line of text, pixels."""
CELL = 96
"""Side of a channel's map on a contact sheet, pixels."""
FADE = 6
"""Pictures between the two of an animation, each way."""
HOLD_MS, STEP_MS = 900, 60


def panel(pictures: Sequence[tuple[str, Pixels]]) -> bytes:
    """Return a PNG of pictures of one size side by side without a gap, each under its title."""
    columns = [_titled(title, picture) for title, picture in pictures]
    return png(np.concatenate(columns, axis=1))


def contact_sheet(maps: NDArray[np.float32], titles: Sequence[str], *, colormap: str) -> bytes:
    """Return a PNG of maps (n, h, w) of 0..1 in rows, the first top left, each under its title."""
    cells = [_titled(title, _drawn(one, colormap)) for title, one in zip(titles, maps, strict=True)]
    columns = math.ceil(math.sqrt(len(cells)))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)]
    return png(np.concatenate(rows, axis=0))


def fading(first: tuple[str, Pixels], second: tuple[str, Pixels]) -> bytes:
    """Return a GIF that goes from one titled picture to another of its size and back, for ever."""
    ends = [_titled(title, picture).astype(np.float64) for title, picture in (first, second)]
    there = [ends[0] + (ends[1] - ends[0]) * step / (FADE + 1) for step in range(FADE + 2)]
    frames = [Image.fromarray(frame.round().astype(np.uint8)) for frame in [*there, *there[-2:0:-1]]]
    times = [HOLD_MS if place in (0, FADE + 1) else STEP_MS for place in range(len(frames))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return buffer.getvalue()


def _titled(title: str, picture: Pixels) -> Pixels:
    image = Image.new("RGB", (picture.shape[1], TITLE), "white")
    font = ImageFont.load_default(TITLE * 0.6)
    ImageDraw.Draw(image).text((4, TITLE / 2), title, fill="black", font=font, anchor="lm")
    return np.concatenate([np.asarray(image), picture], axis=0)


def _drawn(values: NDArray[np.float32], colormap: str) -> Pixels:
    coloured = COLORMAPS[colormap][(values.clip(0, 1) * 255).round().astype(np.uint8)]
    image = Image.fromarray(coloured).resize((CELL, CELL), Image.Resampling.NEAREST)
    return np.asarray(image)
