"""The classification head, equal in structure and names to fastai's ``create_head``; used by ``build``.

Written out here so that the explainer needs no fastai; a trainer test proves the equality.
"""

from __future__ import annotations

import torch
from torch import nn


class AdaptiveConcatPool2d(nn.Module):
    """Global maximum and average side by side: (N, C, H, W) to (N, 2C, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.ap = nn.AdaptiveAvgPool2d(1)
        self.mp = nn.AdaptiveMaxPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.mp(x), self.ap(x)], 1)


def build_head(features: int, classes: int) -> nn.Sequential:
    """Return the head for ``features`` channels, Kaiming-initialised as fastai's learner does."""
    head = nn.Sequential(
        AdaptiveConcatPool2d(),
        nn.Flatten(),
        _batch_norm(2 * features),
        nn.Dropout(0.25),
        nn.Linear(2 * features, 512, bias=False),
        nn.ReLU(inplace=True),
        _batch_norm(512),
        nn.Dropout(0.5),
        nn.Linear(512, classes, bias=False),
    )
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return head


def _batch_norm(features: int) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(features)
    nn.init.constant_(norm.bias, 1e-3)
    return norm
