"""Loads a trained model for explaining from its card and its safetensors file. Called by the explainer's tasks.

What it returns never changes afterwards, so threads may share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reel_networks import WeightsError, build, load_weights
from reel_shared.cores import CGROUP, usable_cores
from reel_shared.errors import Corrupt, Unprocessable
from reel_shared.images import PREPROCESSING
from reel_shared.model_card import WEIGHTS, ModelCard, facts_of


@dataclass(frozen=True)
class ExplainableModel:
    """A network in evaluation mode whose weights ask for no gradients, and how pictures go in."""

    id: str
    classes: tuple[str, ...]
    size: int
    body: nn.Module
    head: nn.Module
    mean: Tensor
    std: Tensor
    temperature: float = 1.0

    def prepare(self, square: NDArray[np.uint8]) -> Tensor:
        """Return pixels (size, size, 3) of 0..255, RGB, as the network's input (1, 3, size, size)."""
        x = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1))).float().div_(255)
        return x.sub_(self.mean).div_(self.std)[None].contiguous(memory_format=torch.channels_last)

    def probabilities(self, logits: Tensor) -> list[float]:
        """Return the probabilities of one picture's logits (classes,), as serving answers them."""
        chances: list[float] = (logits / self.temperature).softmax(0).tolist()
        return chances

    def index(self, label: str) -> int:
        """Return a class's place in the network's outputs. Raises Unprocessable, naming the classes."""
        if label not in self.classes:
            known = ", ".join(self.classes[:20]) + (", …" if len(self.classes) > 20 else "")
            raise Unprocessable(f"Model {self.id} knows no class {label!r}; it knows {known}.", label=label)
        return self.classes.index(label)


def load_model(card: ModelCard, weights: Path) -> ExplainableModel:
    """Build the card's network and load its weights after checking their size and hash.

    Raises:
        Corrupt: the file is not the one of the card, or does not fit the card's architecture.
        Unprocessable: the model was trained with another way of cutting pictures.
    """
    if card.preprocessing != PREPROCESSING:
        raise Unprocessable(
            f"Model {card.id} wants pictures prepared by {card.preprocessing!r}, this program does "
            f"{PREPROCESSING!r}; train the model again."
        )
    facts = card.files.get(WEIGHTS)
    if facts is None or facts_of(weights) != facts:
        raise Corrupt(f"Model {card.id}: {WEIGHTS} does not match its hash; fetch or export it again.")
    try:
        model = build(card.architecture, len(card.classes))
        load_weights(model, weights)
    except (WeightsError, ValueError) as error:
        raise Corrupt(f"Model {card.id} cannot be loaded: {error}.") from error
    return frozen(model, card)


def frozen(model: nn.Sequential, card: ModelCard) -> ExplainableModel:
    """Return ``Sequential(body, head)`` as what explanations are made from; the model is changed for good."""
    # Weights that ask for no gradient spare backwards half of their work; channels-last a tenth of the rest.
    model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (card.mean, card.std))
    return ExplainableModel(
        card.id, tuple(card.classes), card.size, model[0], model[1], mean, std, card.temperature
    )


def limit_threads(cgroup: Path = CGROUP) -> int:
    """Give torch as many threads as the process may really use: torch itself overlooks a container's quota."""
    cores = usable_cores(cgroup)
    torch.set_num_threads(cores)
    return cores
