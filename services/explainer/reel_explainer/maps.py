"""The arithmetic of explanations for a batch: one forward through the body, and what each label's backwards give.

Called by ``explain`` and ``judging``. Nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reel_explainer.guided import guided_gradients_of_each, run_guided
from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import Pixels
from reel_networks.gradcam import channel_weights, run_body, run_head, weighted_heat

if TYPE_CHECKING:
    from reel_explainer.engine import FeatureEngine


@dataclass(frozen=True)
class Maps:
    """For N pictures and L labels each; K channels."""

    chances: list[list[float]]
    """Each picture's probabilities, in the order of the classes."""
    labels: list[list[int]]
    """Each picture's own, at most L; what lies beyond in the tensors is padding."""
    activation: Tensor
    """(N, K, h, w)."""
    weights: Tensor
    """(N, L, K), Grad-CAM's weight of each channel."""
    heat: Tensor
    """(N, L, h, w), in the logit's scale."""
    gradients: Tensor | None
    """(N, L, 3, H, W), guided; None when not asked for."""


def look(
    model: ExplainableModel,
    squares: Sequence[Pixels],
    choose: Callable[[int, list[int]], Sequence[int]],
    *,
    guided: bool,
    rectify: bool = True,
    fast: FeatureEngine | None = None,
) -> Maps:
    """Explain pictures (size, size, 3) in one batch.

    Args:
        choose: given a picture's place and its classes, the likeliest first, returns one or more to explain.
        fast: runs the body in torch's place; not with ``guided``, which needs the gradient through it.

    Raises:
        Unprocessable: ``guided`` for a network without ReLU.
    """
    traced = run_guided(model.body, model.head, _batch(model, squares)) if guided else None
    if traced is not None:
        activation = traced.activation
    elif fast is not None:
        activation = fast.activation(squares)
    else:
        activation = run_body(model.body, _batch(model, squares))
    run = run_head(model.head, activation)
    chances = [model.probabilities(logits) for logits in run.logits.detach()]
    chosen = [list(choose(place, ranked(row))) for place, row in enumerate(chances)]
    most = max(map(len, chosen))
    labels = torch.tensor([row + row[:1] * (most - len(row)) for row in chosen])
    weights = channel_weights(run, labels)
    return Maps(
        chances=chances,
        labels=chosen,
        activation=run.activation.detach(),
        weights=weights,
        heat=weighted_heat(run.activation, weights, rectify=rectify),
        gradients=guided_gradients_of_each(traced, labels) if traced else None,
    )


def _batch(model: ExplainableModel, squares: Sequence[Pixels]) -> Tensor:
    return torch.cat([model.prepare(square) for square in squares])


def ranked(chances: Sequence[float]) -> list[int]:
    """Return the classes, the likeliest first."""
    return sorted(range(len(chances)), key=lambda index: -chances[index])
