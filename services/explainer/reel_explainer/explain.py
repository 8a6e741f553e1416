"""Explains one picture: probabilities, and for each label asked for where and what the model saw.

Called by the explainer's tasks; a picture in, PNG files out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reel_explainer.guided import guided_gradcam, guided_gradients, run_guided
from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import guided_picture, heat_overlay
from reel_networks.attention import border_share
from reel_networks.gradcam import heat_maps, normalise, run_body, run_head
from reel_shared.errors import Unprocessable
from reel_shared.images import preprocess

Method = Literal["gradcam", "guided"]
METHODS: tuple[Method, ...] = ("gradcam", "guided")


@dataclass(frozen=True)
class LabelExplanation:
    """What speaks for one label. ``gradcam`` and ``guided`` are PNG files, or None when not asked for."""

    label: str
    probability: float
    heat: NDArray[np.float32]
    """(h, w), raw and nonnegative: the heats of two labels compare."""
    border_share: float | None
    gradcam: bytes | None
    guided: bytes | None


@dataclass(frozen=True)
class PictureExplanation:
    square: NDArray[np.uint8]
    """(size, size, 3): the part of the picture that the model saw, as it saw it."""
    predictions: list[tuple[str, float]]
    """Every class with its probability, the likeliest first."""
    explanations: list[LabelExplanation]


def explain_picture(
    model: ExplainableModel,
    picture: NDArray[np.uint8],
    labels: Sequence[str] | None = None,
    methods: Collection[Method] = METHODS,
) -> PictureExplanation:
    """Explain an RGB picture (H, W, 3) for the given labels, or for the predicted one when there are none.

    The body runs forward once, whatever is asked for; each label costs a backward through the head, and
    with ``guided`` one through the whole network.

    Raises:
        Unprocessable: a label or a method that there is not, or ``guided`` for a network without ReLU.
    """
    if unknown := set(methods) - set(METHODS):
        raise Unprocessable(f"There is no method {min(unknown)!r}; choose of {', '.join(METHODS)}.")
    wanted = [model.index(label) for label in dict.fromkeys(labels or ())]
    square = preprocess(picture, model.size)
    x = model.prepare(square)
    guided = run_guided(model.body, model.head, x) if "guided" in methods else None
    run = run_head(model.head, guided.activation if guided else run_body(model.body, x))
    chances = model.probabilities(run.logits.detach()[0])
    ranked = sorted(range(len(chances)), key=lambda index: -chances[index])
    wanted = wanted or ranked[:1]
    heat = heat_maps(run, wanted)[0]
    pictures: list[bytes | None] = [None] * len(wanted)
    if guided is not None:
        seen = guided_gradcam(guided_gradients(guided, wanted)[0], heat)
        pictures = [guided_picture(_array(part)) for part in seen]
    explanations = [
        LabelExplanation(
            label=model.classes[index],
            probability=chances[index],
            heat=_array(heat[place]),
            border_share=border_share(_array(heat[place])),
            gradcam=heat_overlay(square, _array(normalise(heat[place]))) if "gradcam" in methods else None,
            guided=pictures[place],
        )
        for place, index in enumerate(wanted)
    ]
    return PictureExplanation(square, [(model.classes[i], chances[i]) for i in ranked], explanations)


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().to(torch.float32).numpy()
    return array
