"""Where two models look in the same pictures, and how that differs; called by the explainer's tasks.

A model that was trained on drawings too should look at what drawings share with the film, not at its backgrounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import difference_picture, png
from reel_networks.attention import border_share
from reel_networks.gradcam import heat_of_each, normalise, run_body, run_head
from reel_networks.overlay import heated
from reel_shared.images import preprocess

SHOWN = 224
"""Side of each of the four drawings, pixels."""
BATCH = 16


@dataclass(frozen=True)
class Look:
    """``heat`` (h, w) is the mean over the pictures, each one's heat made to sum to 1; zero without any heat."""

    accuracy: float
    heat: NDArray[np.float64]
    border_share: float | None


@dataclass(frozen=True)
class Difference:
    """Of the second model from the first, on one class's pictures."""

    images: int
    looks: tuple[Look, Look]
    difference: NDArray[np.float64]
    picture: bytes
    """PNG."""


def compare_looks(
    models: tuple[ExplainableModel, ExplainableModel], pictures: Iterable[NDArray[np.uint8]], label: str
) -> Difference | None:
    """Ask both models about ``label`` in RGB pictures (H, W, 3) that show it; None without a picture.

    Of the pictures only one is held at a time. Raises Unprocessable for a label that a model does not know.
    """
    sums, mean, images = [_Sum(model, label) for model in models], np.zeros((SHOWN, SHOWN, 3)), 0
    for picture in pictures:
        for each in sums:
            each.add(picture)
        mean += preprocess(picture, SHOWN)
        images += 1
    if not images:
        return None
    raw = [each.mean() for each in sums]
    cells = min(heat.shape[0] for heat in raw)
    first, second = (
        Look(each.right / images, shared := _coarser(heat, cells), border_share(shared))
        for each, heat in zip(sums, raw, strict=True)
    )
    change = second.heat - first.heat
    shown = (mean / images).round().astype(np.uint8)
    strips = [shown, *(heated(shown, _stretched(look.heat)) for look in (first, second))]
    drawn = png(np.concatenate([*strips, difference_picture(shown, change)], axis=1))
    return Difference(images, (first, second), change, drawn)


class _Sum:
    """What one model makes of pictures, added up in batches."""

    def __init__(self, model: ExplainableModel, label: str) -> None:
        self.right = 0
        self._model, self._place = model, model.index(label)
        self._waiting: list[Tensor] = []
        self._heats: list[NDArray[np.float64]] = []

    def add(self, picture: NDArray[np.uint8]) -> None:
        self._waiting.append(self._model.prepare(preprocess(picture, self._model.size)))
        if len(self._waiting) == BATCH:
            self._ask()

    def mean(self) -> NDArray[np.float64]:
        """Return the mean map, of the pictures that have any heat."""
        if self._waiting:
            self._ask()
        heat = np.concatenate(self._heats)
        mass = heat.sum(axis=(1, 2))
        if not mass.any():
            return np.zeros(heat.shape[1:])
        mean: NDArray[np.float64] = (heat[mass > 0] / mass[mass > 0, None, None]).mean(axis=0)
        return mean

    def _ask(self) -> None:
        run = run_head(self._model.head, run_body(self._model.body, torch.cat(self._waiting)))
        self.right += int((run.logits.argmax(1) == self._place).sum())
        asked = torch.full((len(self._waiting),), self._place)
        self._heats.append(heat_of_each(run, asked).double().numpy())
        self._waiting.clear()


def _coarser(heat: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """Return a square map in ``cells`` x ``cells``, with the same sum: a finer one would differ by its fineness."""
    pooled: NDArray[np.float64] = F.adaptive_avg_pool2d(torch.from_numpy(heat)[None], cells)[0].numpy()
    total = pooled.sum()
    return pooled * (heat.sum() / total) if total > 0 else pooled


def _stretched(heat: NDArray[np.float64]) -> NDArray[np.float32]:
    stretched: NDArray[np.float32] = normalise(torch.from_numpy(heat)).float().numpy()
    return stretched
