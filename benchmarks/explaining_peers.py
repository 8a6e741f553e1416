"""The peers of ``explaining.py``: captum, pytorch-grad-cam, and the article's author's own code; also held to by tests.

Each takes ``nn.Sequential(body, head)`` with weights that ask for no gradient, a batch (N, 3, H, W) and one label.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from captum.attr import GuidedBackprop, LayerGradCam
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn


def captum_cam(model: nn.Sequential, x: Tensor, label: int) -> Tensor:
    """(N, h, w)."""
    leaf = x.clone().requires_grad_()  # it needs one where weights are frozen
    heat = LayerGradCam(model, model[0]).attribute(leaf, target=label, relu_attributions=True)
    return heat[:, 0].detach()


def captum_guided(model: nn.Sequential, x: Tensor, label: int) -> Tensor:
    """(N, 3, H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own hooks
        return GuidedBackprop(model).attribute(x.clone().requires_grad_(), target=label).detach()


def pgc_cam(model: nn.Sequential, x: Tensor, label: int) -> np.ndarray:
    """(N, H, W): it upscales and stretches to 0..1."""
    with GradCAM(model=model, target_layers=[model[0]]) as cam:
        return cam(x.clone().requires_grad_(), [ClassifierOutputTarget(label)] * len(x))


def pgc_guided(model: nn.Sequential, x: Tensor, label: int) -> np.ndarray:
    """(H, W, 3) of one picture: it takes no batch, and puts other ReLUs into the model it is given."""
    return GuidedBackpropReLUModel(model=model, device=x.device)(x.clone(), target_category=label)


def author_cam(model: nn.Sequential, x: Tensor, label: int) -> Tensor:
    """``get_hmap`` of his ``gradcam.py``: hooks on the last block, a whole backward; (h, w) of one picture."""
    stored: dict[str, Tensor] = {}

    def keep_output(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        stored["acts"] = output[0].detach()
        output.register_hook(lambda gradient: stored.update(grad=gradient[0]))

    handle = model[0].register_forward_hook(keep_output)
    leaf = x.clone().requires_grad_()  # his weights asked for gradients, these do not
    try:
        model(leaf)[0, label].backward()
    finally:
        handle.remove()
    weights = stored["grad"].mean(1).mean(1)
    heat = (stored["acts"] * weights[..., None, None]).sum(0)
    return torch.where(heat > 0, heat, torch.zeros_like(heat))


def author_guided(model: nn.Sequential, x: Tensor, label: int) -> Tensor:
    """``get_grad``: backward hooks that clamp, on every ReLU; (3, H, W) of one picture.

    He found ReLUs by ``str(module) == "ReLU(inplace)"``, which matches none today: found by type, it is what he meant.
    """
    with _clamping_hooks(model):
        leaf = x.clone().requires_grad_()
        model(leaf)[0, label].backward()
    assert leaf.grad is not None
    return leaf.grad[0]


@contextmanager
def _clamping_hooks(model: nn.Module) -> Iterator[None]:
    def clamp(_module: nn.Module, gradients: tuple[Tensor, ...], _outputs: object) -> None:
        for gradient in gradients:
            torch.clamp_(gradient, min=0.0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated; the full hooks refuse in-place ReLU
        rectifiers = [module for module in model.modules() if isinstance(module, nn.ReLU)]
        handles = [module.register_backward_hook(clamp) for module in rectifiers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def author_drawn(gradient: Tensor, heat: Tensor) -> np.ndarray:
    """What he plotted beside the heat map: both stretched to 0..1 and multiplied, (H, W, 3).

    He upscaled by scipy's cubic ``zoom``, here it is bilinear, as ours; his division by zero on a flat map is kept.
    """
    size = gradient.shape[-2:]
    large = nn.functional.interpolate(heat[None, None], size=size, mode="bilinear")[0, 0]
    return np.einsum("ijk, jk->jki", _stretched(gradient).numpy(), _stretched(large).numpy())


def _stretched(values: Tensor) -> Tensor:
    return (values - values.min()) / (values.max() - values.min())
