"""Grad-CAM by splitting the network: one body forward without gradients, one backward through the head per label.

Called by the explainer and by the trainer's checks. No hooks: threads may share one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class HeadPass:
    """The head's forward on a body's output, kept for backwards."""

    activation: Tensor
    """(N, K, h, w), the leaf that gradients are taken at."""
    logits: Tensor
    """(N, classes)."""


@dataclass(frozen=True)
class HeatMaps:
    """What ``gradcam`` returns for N pictures and L labels."""

    logits: Tensor
    """(N, classes)."""
    raw: Tensor
    """(N, L, h, w), nonnegative, in the logit's own scale: labels of one picture compare."""

    @property
    def normalised(self) -> Tensor:
        """(N, L, h, w), each map stretched to 0..1."""
        return normalise(self.raw)


def run_body(body: nn.Module, x: Tensor) -> Tensor:
    """Return the body's output (N, K, h, w) for a batch (N, 3, H, W), keeping nothing for gradients."""
    with torch.no_grad():
        activation: Tensor = body(x)
    return activation


def run_head(head: nn.Module, activation: Tensor) -> HeadPass:
    """Run the head on a body's output (N, K, h, w); gradients will end there and never enter the body."""
    leaf = activation.detach().requires_grad_()
    # The copy is for heads that begin with an in-place operation, which a leaf does not allow.
    return HeadPass(leaf, head(leaf.clone()))


def channel_weights(run: HeadPass, labels: Tensor) -> Tensor:
    """Return the weight (N, L, K) of each channel for ``labels`` (N, L), each picture's own: w_k of Grad-CAM.

    It is the mean over the map of the gradient of the raw logit (Selvaraju et al., 2017, equation 1). Every column of
    labels costs one backward through the head; the body is not touched.
    """
    # Pictures do not meet in evaluation mode, so the gradient of their sum is each one's own.
    gradients = (
        torch.autograd.grad(run.logits.gather(1, asked[:, None]).sum(), run.activation, retain_graph=True)[0]
        for asked in labels.unbind(1)
    )
    return torch.stack([gradient.mean(dim=(2, 3)) for gradient in gradients], dim=1)


def weighted_heat(activation: Tensor, weights: Tensor, *, rectify: bool = True) -> Tensor:
    """Return the heat (N, L, h, w) of channels (N, K, h, w) under weights (N, L, K): ReLU(sum of w_k A_k).

    With ``rectify`` false what speaks against the label stays, below zero (equation 2 without its ReLU).
    """
    # label by label: a map's bits then do not depend on what else is asked for
    heat = torch.stack(
        [torch.einsum("nk,nkhw->nhw", one, activation.detach()) for one in weights.unbind(1)], dim=1
    )
    return heat.relu_() if rectify else heat


def heat_maps(run: HeadPass, labels: Sequence[int], *, rectify: bool = True) -> Tensor:
    """Return the heat (N, L, h, w) that speaks for each label in each picture, the same labels in all of them."""
    asked = torch.tensor(list(labels), device=run.logits.device).expand(len(run.logits), -1)
    return weighted_heat(run.activation, channel_weights(run, asked), rectify=rectify)


def heat_of_each(run: HeadPass, labels: Tensor) -> Tensor:
    """Return the heat (N, h, w) of one label for each picture, ``labels`` (N,): one backward for all of them."""
    return weighted_heat(run.activation, channel_weights(run, labels[:, None]))[:, 0]


def normalise(heat: Tensor) -> Tensor:
    """Stretch each map (…, h, w) to 0..1; a map without any contrast becomes zero, never NaN."""
    low = heat.amin(dim=(-2, -1), keepdim=True)
    span = heat.amax(dim=(-2, -1), keepdim=True) - low
    return torch.where(span > 0, (heat - low) / span, 0.0)


def gradcam(body: nn.Module, head: nn.Module, x: Tensor, labels: Sequence[int]) -> HeatMaps:
    """Return heat maps of ``labels`` for a batch (N, 3, H, W), from one forward through the body."""
    run = run_head(head, run_body(body, x))
    return HeatMaps(run.logits.detach(), heat_maps(run, labels))
