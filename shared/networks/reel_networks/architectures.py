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
    tail: int = 2
    """So many of the network's children lie behind the body: pooling and classifier."""
    nested: int | None = None
    """The body's child whose own children are the layers, where they lie one level deeper."""
    early: int = 6
    """So many layers reach stride 8: the early part of the body."""
    ends_in_function: bool = False
    """Whether torchvision applies a last ReLU as a function, which is no child and must be put back."""


class Body(nn.Sequential):
    """A network before its pooling: (N, 3, S, S) to (N, features, S/32, S/32), in an early and a late part."""

    def __init__(self, *children: nn.Module, nested: int | None = None, early: int = 6) -> None:
        super().__init__(*children)
        self.nested, self.early = nested, early

    def parts(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """Return the layers up to stride 8 and those behind."""
        layers = list(self.children())
        if self.nested is not None:
            layers[self.nested : self.nested + 1] = layers[self.nested].children()
        return layers[: self.early], layers[self.early :]


def _resnet(name: str, features: int, constructor: str = "") -> Architecture:
    return Architecture(name, features, IMAGENET, constructor or name)


def _nested(name: str, features: int, *, early: int) -> Architecture:
    return Architecture(name, features, IMAGENET, name, nested=0, early=early)


def _densenet(name: str, features: int) -> Architecture:
    return Architecture(name, features, IMAGENET, name, tail=1, nested=0, early=7, ends_in_function=True)


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        _resnet("resnet18", 512),
        _resnet("resnet34", 512),
        _resnet("resnet50", 2048),
        _resnet("resnet101", 2048),
        _resnet("resnet152", 2048),
        _resnet("resnext50", 2048, "resnext50_32x4d"),
        _resnet("resnext101", 2048, "resnext101_32x8d"),
        _resnet("wide_resnet50", 2048, "wide_resnet50_2"),
        _densenet("densenet121", 1024),
        _densenet("densenet169", 1664),
        _densenet("densenet201", 1920),
        _nested("efficientnet_b0", 1280, early=4),
        _nested("efficientnet_b1", 1280, early=4),
        _nested("efficientnet_b2", 1408, early=4),
        _nested("efficientnet_b3", 1536, early=4),
        _nested("mobilenet_v3_large", 960, early=7),
        _nested("convnext_tiny", 768, early=4),
        _nested("convnext_small", 768, early=4),
        Architecture("regnet_y_3_2gf", 1512, IMAGENET, "regnet_y_3_2gf", nested=1, early=3),
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


def cut(architecture: Architecture, network: Any) -> Body:
    """Return the part before pooling, as fastai's ``create_body`` cuts it (same names).

    Unlike there a DenseNet keeps its last ReLU, so that pooling sees what the original network's pooling sees.
    """
    if architecture.constructor:
        children = list(network.children())[: -architecture.tail]
        if architecture.ends_in_function:
            children.append(nn.ReLU())
    else:
        from reel_networks.efficientnet import efficientnet_lite0_body

        children = list(efficientnet_lite0_body(network).children())
    body = Body(*children, nested=architecture.nested, early=architecture.early)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None:
            # MobileNet's and EfficientNet-Lite's own 0.01 suits hundreds of thousands of steps; statistics would lag
            # behind a short fine-tuning
            module.momentum = max(module.momentum, 0.1)
    return body


def parameter_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return three groups for discriminative rates: early body (to stride 8), late body, head."""
    body, head = model.get_submodule("0"), model.get_submodule("1")
    assert isinstance(body, Body)
    early, late = body.parts()
    return [list(nn.ModuleList(part).parameters()) for part in (early, late, [head])]
