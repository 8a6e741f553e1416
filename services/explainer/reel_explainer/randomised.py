"""The weight-randomisation check (Adebayo et al., 2018): what does not change with the weights explains no model.

Weights are shuffled layer by layer, from the head down, and maps compared with those before. Called by ``judging``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reel_explainer.model import ExplainableModel
from reel_networks.architectures import Body

PARTS = 5
"""Steps in which the body is shuffled, at most."""


def cascade(model: ExplainableModel) -> Iterator[tuple[str, ExplainableModel]]:
    """Yield what was shuffled last and the model, at first with its head shuffled, at last with everything.

    All yielded models are one copy that goes on changing; the original is not touched. The weights of a layer stay
    what they are and change places, so that their scale remains.
    """
    body, head = copy.deepcopy(model.body), copy.deepcopy(model.head)
    shuffled = replace(model, body=body, head=head)
    dice = torch.Generator().manual_seed(0)
    for name, layers in [("head", [head]), *reversed(_parts(body))]:
        for layer in layers:
            _shuffle(layer, dice)
        yield name, shuffled


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | None:
    """Return Spearman's correlation of two maps of one shape; None where one of them is the same everywhere."""
    ranks = [_average_ranks(values) for values in (first, second)]
    centred = [values - values.mean() for values in ranks]
    norm = float(np.linalg.norm(centred[0]) * np.linalg.norm(centred[1]))
    return float(centred[0] @ centred[1]) / norm if norm > 0 else None


def _parts(body: nn.Module) -> list[tuple[str, list[nn.Module]]]:
    """Return the body's layers that have weights, in groups from its input on."""
    early, late = body.parts() if isinstance(body, Body) else ([], list(body.children()) or [body])
    layers = [
        (place, layer) for place, layer in enumerate([*early, *late]) if any(True for _ in layer.parameters())
    ]
    groups = [
        layers[part[0] : part[-1] + 1]
        for part in np.array_split(np.arange(len(layers)), min(PARTS, len(layers)))
    ]
    return [(_name(group), [layer for _, layer in group]) for group in groups]


def _name(group: list[tuple[int, nn.Module]]) -> str:
    first, last = group[0][0], group[-1][0]
    return f"body {first}" if first == last else f"body {first} to {last}"


def _shuffle(layer: nn.Module, dice: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.dim() > 1:  # scales and shifts of normalisation belong to the statistics that stay
                flat = parameter.flatten()
                parameter.copy_(flat[torch.randperm(len(flat), generator=dice)].reshape(parameter.shape))


def _average_ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Equal values share the mean of their ranks."""
    _, places, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[places]
    return ranks
