"""Real pictures, and networks whose activations are as those of trained ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import nn

from reel_explainer.model import ExplainableModel, frozen
from reel_networks import ARCHITECTURES, build, input_stats, load_pretrained, save_weights
from reel_shared.images import PREPROCESSING
from reel_shared.model_card import WEIGHTS, FileFacts, ModelCard, facts_of

CLASSES = ["castle", "howl", "kiki", "mulan", "tarzan"]
SIZE = 128


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are added in one order, whoever runs beside; and a busy machine does not wait at barriers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """RGB, one square, the others not."""
    return [skimage.data.chelsea(), skimage.data.astronaut(), skimage.data.coffee()]


@pytest.fixture(scope="session")
def batch(pictures: list[np.ndarray]) -> torch.Tensor:
    """(3, 3, SIZE, SIZE), normalised."""
    small = np.stack([np.array(Image.fromarray(p).resize((SIZE, SIZE))) for p in pictures])
    return (torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def _network(architecture: str, batch: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(7)
    model = build(architecture, len(CLASSES))
    if architecture == "efficientnet_lite0":
        load_pretrained(model, architecture, "package")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = None  # the plain mean over what follows
    part = model[1] if architecture == "efficientnet_lite0" else model
    part.train()
    with torch.no_grad():
        for _ in range(4):
            part(model[0](batch) if part is not model else batch)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def network(batch: torch.Tensor) -> Callable[[str], nn.Sequential]:
    """Sequential(body, head) by architecture; tests must leave it as it was."""
    made: dict[str, nn.Sequential] = {}

    def get(architecture: str) -> nn.Sequential:
        return made.setdefault(architecture, made.get(architecture) or _network(architecture, batch))

    return get


def _card(architecture: str, files: dict[str, FileFacts], **changes: object) -> ModelCard:
    mean, std = input_stats(architecture if architecture in ARCHITECTURES else "resnet18", "none")
    card: dict[str, object] = {
        "id": "mdl_test",
        "architecture": architecture,
        "classes": CLASSES,
        "size": SIZE,
        "mean": mean,
        "std": std,
        "preprocessing": PREPROCESSING,
        "recipe": {},
        "dataset_version_id": "dsv_test",
        "manifest_sha256": "0" * 64,
        "precision": "fp32",
        "held_out": True,
        "files": files,
        "created_at": datetime.now(UTC),
    }
    return ModelCard.model_validate(card | changes)


@pytest.fixture(scope="session")
def make_card() -> Callable[..., ModelCard]:
    """Takes an architecture, the files' facts, and fields to set otherwise."""
    return _card


@pytest.fixture
def stored(tmp_path: Path, network: Callable[[str], nn.Sequential]) -> tuple[ModelCard, Path]:
    """A model as the trainer publishes it: card and safetensors file."""
    path = tmp_path / WEIGHTS
    stats = input_stats("resnet18", "none")
    save_weights(network("resnet18"), path, architecture="resnet18", stats=stats)
    return _card("resnet18", {WEIGHTS: facts_of(path)}), path


@pytest.fixture(scope="session")
def model(batch: torch.Tensor) -> ExplainableModel:
    """EfficientNet-Lite0 with its real ImageNet weights."""
    return frozen(_network("efficientnet_lite0", batch), _card("efficientnet_lite0", {}))
