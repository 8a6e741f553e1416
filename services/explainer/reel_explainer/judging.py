"""How far to believe the maps of one picture: their curves, and whether they depend on the weights at all.

Called by the task ``explain_picture`` when faithfulness is asked for; it costs tens of forwards a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reel_explainer.faithfulness import Curves, curves
from reel_explainer.guided import guided_gradcam
from reel_explainer.maps import Maps, look
from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import Pixels
from reel_explainer.randomised import cascade, rank_correlation
from reel_networks.overlay import upscaled
from reel_shared.contracts.explanations import Method

DEPENDS_BELOW = 0.5
"""A map that on average correlates more than this with those of shuffled weights depends on them too little."""
CAUTION = (
    "Guided backpropagation does not depend on the weights as an explanation should: with shuffled weights it still "
    "redraws the picture's edges (Adebayo et al., 2018; Nie et al., 2018). Take it for an illustration of the heat "
    "map, not for evidence of its own."
)


@dataclass(frozen=True)
class Judgement:
    """Of one method's map for one label."""

    curves: Curves
    correlations: list[tuple[str, float | None]]
    """What was shuffled last, and Spearman's correlation of the map with the true one; None where nothing is left."""
    note: str

    @property
    def depends_on_weights(self) -> bool:
        found = [abs(value or 0.0) for _, value in self.correlations]
        return sum(found) / len(found) < DEPENDS_BELOW


def judge(
    model: ExplainableModel,
    square: Pixels,
    labels: Sequence[str],
    methods: Sequence[Method],
    *,
    check: Callable[[], None] = lambda: None,
) -> dict[str, dict[Method, Judgement]]:
    """Judge each method's map of a picture (size, size, 3) for each label.

    Raises:
        Unprocessable: a label that there is not, or a guided method for a network without ReLU.
    """
    true = _importances(model, square, labels, methods)
    correlations: dict[tuple[str, Method], list[tuple[str, float | None]]] = {key: [] for key in true}
    for part, shuffled in cascade(model):
        check()
        for key, importance in _importances(shuffled, square, labels, methods).items():
            correlations[key].append((part, rank_correlation(true[key], importance)))
    found: dict[str, dict[Method, Judgement]] = {label: {} for label in labels}
    for (label, method), importance in true.items():
        drawn = upscaled(importance, square.shape[:2])
        found[label][method] = Judgement(
            curves(model, square, model.index(label), drawn, check=check),
            correlations[label, method],
            note="" if method == "gradcam" else CAUTION,
        )
    return found


def _importances(
    model: ExplainableModel, square: Pixels, labels: Sequence[str], methods: Sequence[Method]
) -> dict[tuple[str, Method], NDArray[np.float32]]:
    """Return how important each place is, in the map's own resolution, never below zero."""
    asked = [model.index(label) for label in labels]
    maps = look(
        model,
        [square],
        lambda _place, _likeliest: asked,
        guided=bool({"guided", "guided_backprop"} & set(methods)),
    )
    return {
        (label, method): _importance(maps, number, method)
        for number, label in enumerate(labels)
        for method in methods
    }


def _importance(maps: Maps, number: int, method: Method) -> NDArray[np.float32]:
    heat = maps.heat[0, number]
    if method == "gradcam":
        values = heat
    else:
        assert maps.gradients is not None
        gradient = maps.gradients[0, number]
        strength = gradient if method == "guided_backprop" else guided_gradcam(gradient, heat)
        values = strength.abs().sum(dim=0)
    importance: NDArray[np.float32] = values.numpy()
    return importance
