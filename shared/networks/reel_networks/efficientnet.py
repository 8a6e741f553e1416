"""EfficientNet-Lite0's feature extractor as a plain ``nn.Sequential``, to cut and export it like a ResNet."""

from __future__ import annotations

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn


class StochasticBlock(nn.Module):
    """One inverted residual block with the stochastic depth rate of its place in the network."""

    def __init__(self, block: nn.Module, drop_rate: float) -> None:
        super().__init__()
        self.block = block
        self.drop_rate = drop_rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.block(x, drop_connect_rate=self.drop_rate)
        return result


def efficientnet_lite0_body(network: EfficientNet | None = None) -> nn.Sequential:
    """Return stem, 16 blocks and the last convolution: (N, 3, S, S) to (N, 1280, S/32, S/32).

    The first six children reach stride 8, as in the ResNets, so both split into parameter groups alike.
    """
    network = network or EfficientNet.from_name("efficientnet-lite0")
    rate = network._global_params.drop_connect_rate or 0.0
    blocks = [
        StochasticBlock(block, rate * index / len(network._blocks))
        for index, block in enumerate(network._blocks)
    ]
    return nn.Sequential(
        nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6(inplace=True)),
        *blocks,
        nn.Sequential(network._conv_head, network._bn1, nn.ReLU6(inplace=True)),
    )
