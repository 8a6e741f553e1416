"""The feature-map view: which channels of the last feature map were active, and which carried a label's heat.

Called by ``explain``. A modern form of looking at the maps one by one: with 2048 of them a person needs an order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reel_networks.gradcam import normalise


@dataclass(frozen=True)
class Channel:
    channel: int
    activation: float
    """Mean over the map."""
    weight: float | None
    share: float
    """Of all channels' activation, or of all that speaks for the label."""


@dataclass(frozen=True)
class ChannelRanking:
    """The first channels by one measure; ``maps`` (n, h, w) are theirs, each stretched to 0..1."""

    channels: list[Channel]
    maps: Tensor


def most_active(activation: Tensor, count: int) -> ChannelRanking:
    """Rank the channels of one picture's feature map (K, h, w) by their mean."""
    mean = activation.mean(dim=(1, 2))
    return _first(activation, mean, mean, None, count)


def heaviest(activation: Tensor, weights: Tensor, count: int) -> ChannelRanking:
    """Rank channels (K, h, w) by what they add to a label's logit: weight (K,) times mean."""
    mean = activation.mean(dim=(1, 2))
    return _first(activation, weights * mean, mean, weights, count)


def _first(
    activation: Tensor, measure: Tensor, mean: Tensor, weights: Tensor | None, count: int
) -> ChannelRanking:
    order = torch.argsort(measure, descending=True, stable=True)[:count]
    total = float(measure.clamp_min(0).sum())
    channels = [
        Channel(
            channel=index,
            activation=float(mean[index]),
            weight=None if weights is None else float(weights[index]),
            share=float(measure[index]) / total if total > 0 else 0.0,
        )
        for index in order.tolist()
    ]
    return ChannelRanking(channels, normalise(activation[order]))
