"""Which architectures there are and how each is built and split; called by trainer (training) and explainer.

Torchvision and the EfficientNet package are imported only when one of theirs is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from reel_networks.head import build_head

Stats = tuple[tuple[float, float, float], tuple[float, float, float]]

IMAGENET: Stats = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# MEAN_RGB 127, STDDEV_RGB 128: tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py
LITE: Stats = ((127 / 255, 127 / 255, 127 / 255), (128 / 255, 128 / 255, 128 / 255))


@dataclass(frozen=True)
class Architecture:
    """``features``: channels of the body's output; ``stats``: mean and std of its public weights' training."""

    name: str
    features: int
    stats: Stats
    constructor: str
    """Torchvision's name for it, or empty where torchvision has none."""


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture("resnet18", 512, IMAGENET, "resnet18"),
        Architecture("resnet34", 512, IMAGENET, "resnet34"),
        Architecture("resnet50", 2048, IMAGENET, "resnet50"),
        Architecture("resnet101", 2048, IMAGENET, "resnet101"),
        Architecture("resnext50", 2048, IMAGENET, "resnext50_32x4d"),
        Architecture("densenet121", 1024, IMAGENET, "densenet121"),
        Architecture("efficientnet_lite0", 1280, LITE, ""),
    )
}


def find(name: str) -> Architecture:
    """Return the architecture; ValueError names those there are."""
    if name not in ARCHITECTURES:
        raise ValueError(f"there is no architecture {name!r}; choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(architecture: str, classes: int) -> nn.Sequential:
    """Return ``Sequential(body, head)`` with random weights: (N, 3, S, S) to logits (N, classes)."""
    found = find(architecture)
    if classes < 1:
        raise ValueError("a network needs at least one class")
    return nn.Sequential(cut(found, full_network(found)), build_head(found.features, classes))


def full_network(architecture: Architecture) -> Any:
    """Return the classification network that the body is cut from, with random weights."""
    if architecture.constructor:
        from torchvision.models import get_model

        return get_model(architecture.constructor, weights=None)
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


def cut(architecture: Architecture, network: Any) -> nn.Sequential:
    """Return the part before pooling, as fastai's ``create_body`` cuts it (same names)."""
    if not architecture.constructor:
        from reel_networks.efficientnet import efficientnet_lite0_body

        return efficientnet_lite0_body(network)
    return nn.Sequential(*list(network.children())[: -1 if architecture.name.startswith("densenet") else -2])


def parameter_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return three groups for discriminative rates: early body (to stride 8), late body, head."""
    body, head = model.get_submodule("0"), model.get_submodule("1")
    layers = list(body.children())
    at = 6
    if len(layers) == 1:  # DenseNet: all its layers lie one level deeper
        layers, at = list(layers[0].children()), 7
    early, late = nn.ModuleList(layers[:at]), nn.ModuleList(layers[at:])
    return [list(part.parameters()) for part in (early, late, head)]
