"""Guided backpropagation: what in the pixels speaks for a label, ReLU letting only support for it pass back.

Called by ``explain``. The rule holds in the calling thread for one forward; the model itself is not changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from reel_networks.gradcam import normalise
from reel_shared.errors import Unprocessable

_RELU: frozenset[Callable[..., Any]] = frozenset(
    {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
)


_SMOOTH: dict[Callable[..., Any], str] = {
    getattr(F, name): name
    for name in (
        "silu",
        "gelu",
        "hardswish",
        "mish",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "prelu",
        "softplus",
    )
}
"""Activations with no guided rule: their gradients would pass unchanged among those that obey it."""


class _GuidedReLU(torch.autograd.Function):
    """ReLU up to a ceiling; backward passes positive gradients only, where the forward was active."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        result = x.clamp_min(0) if math.isinf(ceiling) else x.clamp(0, ceiling)
        ctx.save_for_backward(result)
        ctx.ceiling = ceiling
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        support = gradients[0].clamp_min(0)
        if math.isinf(ctx.ceiling):
            return torch.ops.aten.threshold_backward(support, result, 0), None
        return torch.ops.aten.hardtanh_backward(support, result, 0, ctx.ceiling), None


class _GuidedRule(TorchFunctionMode):
    """Puts the guided ReLU in place of every ReLU and ReLU6 called in this thread while it is entered.

    It sees modules and functional calls alike, in-place or not, so no network slips through with plain gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rectified = 0
        self.smooth: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _SMOOTH:
            self.smooth.add(_SMOOTH[func])
        ceiling = _ceiling(func, kwargs)
        if ceiling is None:
            return func(*args, **kwargs)
        self.rectified += 1
        return _GuidedReLU.apply(args[0] if args else kwargs["input"], ceiling)


def _ceiling(func: Any, kwargs: dict[str, Any]) -> float | None:
    """Return where the function's rectifier saturates, or None where it is no rectifier."""
    if func in _RELU:
        return math.inf
    if func is F.relu6:
        return 6.0
    # nn.ReLU6 is a hardtanh from 0 to 6
    if func in (F.hardtanh, F.hardtanh_) and kwargs.get("min_val") == 0:
        return float(kwargs["max_val"])
    return None


@dataclass(frozen=True)
class GuidedPass:
    """A forward under the guided rule, kept for backwards. Its values are those of an ordinary forward."""

    x: Tensor
    """(N, 3, H, W), the leaf that gradients are taken at."""
    activation: Tensor
    """(N, K, h, w), the body's output; ``gradcam.run_head`` may share it."""
    logits: Tensor
    """(N, classes)."""


def run_guided(
    body: nn.Module, head: nn.Module, x: Tensor, *, precision: torch.dtype = torch.float32
) -> GuidedPass:
    """Run the network on a batch (N, 3, H, W) so that ``guided_gradients`` can be taken.

    Args:
        precision: of the body's convolutions, there and back; bfloat16 is faster where the processor has it.

    Raises:
        Unprocessable: the body has other activations than ReLU; its guided gradients would be plain ones by another
            name, in whole or in part.
    """
    leaf = x.detach().clone().requires_grad_()
    with _GuidedRule() as rule:
        with torch.autocast(x.device.type, precision, enabled=precision != torch.float32):
            activation = body(leaf)
        if precision != torch.float32:
            activation = activation.float()
        if rule.smooth or not rule.rectified:
            has = f"has {', '.join(sorted(rule.smooth))}" if rule.smooth else "has none"
            raise Unprocessable(
                f"Guided backpropagation needs a network whose activations are ReLU and this one {has}; ask for "
                "gradcam only."
            )
        logits = head(activation)
    return GuidedPass(leaf, activation, logits)


def guided_gradients(run: GuidedPass, labels: Sequence[int]) -> Tensor:
    """Return the guided gradient (N, L, 3, H, W) of each label's raw logit (Springenberg et al., 2015)."""
    return guided_gradients_of_each(run, torch.tensor(list(labels)).expand(len(run.logits), -1))


def guided_gradients_of_each(run: GuidedPass, labels: Tensor) -> Tensor:
    """Likewise for ``labels`` (N, L), each picture's own: one backward through the network for each column."""
    gradients = [
        torch.autograd.grad(run.logits.gather(1, asked[:, None]).sum(), run.x, retain_graph=True)[0]
        for asked in labels.unbind(1)
    ]
    return torch.stack(gradients, dim=1)


def guided_gradcam(gradient: Tensor, heat: Tensor) -> Tensor:
    """Return the guided gradient (…, 3, H, W) times its heat map (…, h, w), brought to H x W and 0..1.

    The gradient alone hardly depends on the label; the heat keeps what lies where the label was seen. Signs
    stay, so that nothing is nothing: stretched to 0..1 beforehand, even a zero gradient would show the heat.
    """
    return gradient * _upscaled(normalise(heat), gradient)


def stretched_gradcam(gradient: Tensor, heat: Tensor) -> Tensor:
    """Return what the article's author drew: gradient (…, 3, H, W) times heat (…, h, w), each stretched to 0..1.

    His heat was upscaled by splines and is stretched after that; a map without contrast is zero here, not NaN.
    """
    return stretched(gradient) * normalise(_upscaled(heat, gradient))


def stretched(gradient: Tensor) -> Tensor:
    """Return gradients (…, 3, H, W) stretched to 0..1, their three channels by one scale."""
    flat = normalise(gradient.flatten(-3, -2))
    return flat.reshape(gradient.shape)


def _upscaled(heat: Tensor, gradient: Tensor) -> Tensor:
    """Return heat (…, h, w) as (…, 1, H, W)."""
    height, width = gradient.shape[-2:]
    flat = heat.reshape(-1, 1, *heat.shape[-2:])
    large = F.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False)
    return large.reshape(*heat.shape[:-2], 1, height, width)
