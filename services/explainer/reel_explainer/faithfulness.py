"""Whether a map shows what the model really used: pixels taken away and put back in the map's order.

Deletion and insertion after RISE (Petsiuk et al., 2018). Called by ``judging``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import Pixels

STEPS = 16
"""Parts that a picture is taken away in."""
BATCH = 8
BLUR = 1 / 20
"""Radius of the blur that takes a pixel's place, as a part of the picture's side; black would be a pattern itself."""


@dataclass(frozen=True)
class Curves:
    """The label's probability with 0, 1, … STEPS parts of the pixels, the most important first, exchanged."""

    deletion: list[float]
    """From the picture to the blur: falls early where the map is right."""
    insertion: list[float]
    """From the blur to the picture: rises early where the map is right."""

    @property
    def deletion_area(self) -> float:
        return _area(self.deletion)

    @property
    def insertion_area(self) -> float:
        return _area(self.insertion)


def curves(
    model: ExplainableModel,
    square: Pixels,
    label: int,
    importance: NDArray[np.floating],
    *,
    check: Callable[[], None] = lambda: None,
) -> Curves:
    """Judge an importance (size, size) of one picture (size, size, 3) for a class.

    Args:
        check: called between batches; may raise to stop.
    """
    blurred = blur(square)
    rank = _ranks(importance)
    exchanged = [rank < round(part * rank.size / STEPS) for part in range(STEPS + 1)]
    deleted = [np.where(mask[..., None], blurred, square) for mask in exchanged]
    inserted = [np.where(mask[..., None], square, blurred) for mask in exchanged]
    chances = _chances(model, [*deleted, *inserted], label, check)
    return Curves(chances[: STEPS + 1], chances[STEPS + 1 :])


def blur(square: Pixels) -> Pixels:
    """Return the picture (size, size, 3) without what is finer than about a tenth of its side."""
    radius = BLUR * square.shape[0]
    return np.asarray(Image.fromarray(square).filter(ImageFilter.GaussianBlur(radius)))


def _ranks(importance: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return each pixel's place (H, W), 0 the most important; the order of equal ones is drawn, the same each time."""
    lots = np.random.default_rng(0).random(importance.size)
    order = np.lexsort((lots, -importance.ravel()))
    ranks = np.empty_like(order)
    ranks[order] = np.arange(order.size)
    return ranks.reshape(importance.shape)


def _chances(
    model: ExplainableModel, squares: Sequence[Pixels], label: int, check: Callable[[], None]
) -> list[float]:
    chances: list[float] = []
    for start in range(0, len(squares), BATCH):
        check()
        x = torch.cat([model.prepare(square) for square in squares[start : start + BATCH]])
        with torch.no_grad():
            logits = model.head(model.body(x))
        chances += [model.probabilities(row)[label] for row in logits]
    return chances


def _area(curve: Sequence[float]) -> float:
    """Return the area under a curve over 0..1, by trapezoids: 0 to 1."""
    return float((sum(curve) - (curve[0] + curve[-1]) / 2) / (len(curve) - 1))
