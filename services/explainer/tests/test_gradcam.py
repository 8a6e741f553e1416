"""Grad-CAM against pytorch-grad-cam and captum, and its own promises: batches, labels, zero maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from reel_networks.gradcam import gradcam, heat_maps, heat_of_each, normalise, run_body, run_head

Network = Callable[[str], nn.Sequential]
ARCHITECTURES = ["resnet18", "efficientnet_lite0", "densenet121"]


def off(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_agrees_with_captum(architecture: str, network: Network, batch: torch.Tensor) -> None:
    model = network(architecture)
    ours = gradcam(model[0], model[1], batch, [0, 3, 4])
    assert off(ours.logits, model(batch)) < 1e-5
    for place, label in enumerate([0, 3, 4]):
        x = batch.clone().requires_grad_()  # captum needs it where weights are frozen
        theirs = LayerGradCam(model, model[0]).attribute(x, target=label, relu_attributions=True)
        assert off(ours.raw[:, place], theirs[:, 0].detach()) < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_agrees_with_pytorch_grad_cam(architecture: str, network: Network, batch: torch.Tensor) -> None:
    model = network(architecture)
    ours = gradcam(model[0], model[1], batch, [1, 2])
    upscaled = nn.functional.interpolate(ours.normalised, size=batch.shape[-2:], mode="bilinear")
    for place, label in enumerate([1, 2]):
        with GradCAM(model=model, target_layers=[model[0]]) as cam:
            theirs = torch.from_numpy(
                cam(batch.clone().requires_grad_(), [ClassifierOutputTarget(label)] * len(batch))
            )
        # it stretches once more after upscaling, which never quite reaches 0 and 1
        assert off(normalise(upscaled[:, place]), theirs) < 1e-4


def test_labels_share_one_body_forward(network: Network, batch: torch.Tensor) -> None:
    model = network("resnet18")

    class Counting(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return model[0](x)

    body = Counting()
    three = gradcam(body, model[1], batch, [4, 0, 2])
    assert body.calls == 1
    assert three.raw.shape == (len(batch), 3, 4, 4)
    for place, label in enumerate([4, 0, 2]):
        alone = gradcam(model[0], model[1], batch, [label])
        assert torch.equal(three.raw[:, place], alone.raw[:, 0])
    assert not torch.equal(three.raw[:, 0], three.raw[:, 1])


def test_batch_and_single_pictures_agree(network: Network, batch: torch.Tensor) -> None:
    model = network("resnet18")
    together = gradcam(model[0], model[1], batch, [0, 1]).raw
    for place in range(len(batch)):
        alone = gradcam(model[0], model[1], batch[place : place + 1], [0, 1]).raw
        assert off(together[place : place + 1], alone) < 1e-5


def test_each_picture_may_be_asked_about_a_label_of_its_own(network: Network, batch: torch.Tensor) -> None:
    model = network("resnet18")
    run = run_head(model[1], run_body(model[0], batch))
    every = heat_maps(run, range(5))
    asked = torch.tensor([4, 0, 2])
    assert torch.equal(heat_of_each(run, asked), every[torch.arange(3), asked])


def test_a_map_without_heat_is_zero_not_nan(network: Network, batch: torch.Tensor) -> None:
    activation = run_body(network("resnet18")[0], batch)
    assert activation.min() >= 0
    against = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 2, bias=False))
    nn.init.constant_(against[2].weight, -1.0)
    raw = heat_maps(run_head(against, activation), [0])
    assert torch.count_nonzero(raw) == 0
    assert torch.equal(normalise(raw), torch.zeros_like(raw))
    assert torch.equal(normalise(torch.full((1, 1, 4, 4), 3.0)), torch.zeros(1, 1, 4, 4))


def test_normalised_maps_reach_from_0_to_1(network: Network, batch: torch.Tensor) -> None:
    maps = gradcam(*network("resnet18"), batch, [0]).normalised
    np.testing.assert_allclose(maps.amin((-2, -1)), 0)
    np.testing.assert_allclose(maps.amax((-2, -1)), 1)


def test_a_head_that_begins_in_place_is_fine(batch: torch.Tensor) -> None:
    torch.manual_seed(0)
    body = nn.Conv2d(3, 8, 3, stride=4)
    head = nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    plain = nn.Sequential(nn.ReLU(), *head[1:])
    assert torch.equal(gradcam(body, head, batch, [1]).raw, gradcam(body, plain, batch, [1]).raw)


def test_the_model_is_left_as_it_was(network: Network, batch: torch.Tensor) -> None:
    model = network("resnet18")
    gradcam(*model, batch, [0])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert not batch.requires_grad
