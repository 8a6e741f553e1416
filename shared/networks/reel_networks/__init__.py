"""The networks that trainer and explainer share: one definition, one set of weight names, no fastai.

A network is ``nn.Sequential(body, head)``; the body's output is the layer that Grad-CAM looks at.
"""

from __future__ import annotations

from reel_networks.architectures import ARCHITECTURES, Architecture, build, parameter_groups
from reel_networks.weights import (
    InputStats,
    WeightsError,
    WeightsUnreachableError,
    check_weights,
    input_stats,
    load_pretrained,
    load_weights,
    save_weights,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "InputStats",
    "WeightsError",
    "WeightsUnreachableError",
    "build",
    "check_weights",
    "input_stats",
    "load_pretrained",
    "load_weights",
    "parameter_groups",
    "save_weights",
]
