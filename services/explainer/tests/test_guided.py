"""Guided backpropagation against captum, on modules and functional calls, and what it refuses."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop
from torch import nn

from reel_explainer.guided import guided_gradcam, guided_gradients, run_guided
from reel_networks import build
from reel_networks.gradcam import gradcam
from reel_shared.errors import Unprocessable

Network = Callable[[str], nn.Sequential]


class CappedReLU(nn.ReLU):
    """ReLU6 that captum takes for a ReLU: it looks for that class alone."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input.clamp(0, 6)


def for_captum(model: nn.Module) -> nn.Module:
    copied = copy.deepcopy(model)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, CappedReLU())
            elif isinstance(child, nn.ReLU):
                child.inplace = False
    return copied


def plain_gradient(model: nn.Module, x: torch.Tensor, label: int) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(model(leaf)[:, label].sum(), leaf)[0]


def guided_backprop(body: nn.Module, head: nn.Module, x: torch.Tensor, labels: list[int]) -> torch.Tensor:
    return guided_gradients(run_guided(body, head, x), labels)


def off(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("architecture", ["resnet18", "efficientnet_lite0", "densenet121"])
def test_agrees_with_captum(architecture: str, network: Network, batch: torch.Tensor) -> None:
    model = network(architecture)
    ours = guided_backprop(model[0], model[1], batch, [0, 3])
    assert ours.shape == (len(batch), 2, *batch.shape[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own hooks
        reference = GuidedBackprop(for_captum(model))
        for place, label in enumerate([0, 3]):
            theirs = reference.attribute(batch.clone().requires_grad_(), target=label)
            assert off(ours[:, place], theirs.detach()) < 1e-4


@pytest.mark.parametrize("architecture", ["resnet18", "efficientnet_lite0"])
def test_is_not_the_plain_gradient(architecture: str, network: Network, batch: torch.Tensor) -> None:
    model = network(architecture)
    before = plain_gradient(model, batch, 0)
    guided = guided_backprop(model[0], model[1], batch, [0])[:, 0]
    assert off(guided, before) > 0.1
    assert off(plain_gradient(model, batch, 0), before) < 1e-6, "the rule outlived its forward"


def test_batch_and_single_pictures_agree(network: Network, batch: torch.Tensor) -> None:
    model = network("resnet18")
    together = guided_backprop(model[0], model[1], batch, [2])
    for place in range(len(batch)):
        alone = guided_backprop(model[0], model[1], batch[place : place + 1], [2])
        assert off(together[place : place + 1], alone) < 1e-4


def test_gradcam_may_share_the_guided_forward(network: Network, batch: torch.Tensor) -> None:
    model = network("efficientnet_lite0")
    run = run_guided(model[0], model[1], batch)
    ordinary = gradcam(model[0], model[1], batch, [1])
    assert off(run.logits.detach(), ordinary.logits) < 1e-5
    shared = gradcam(nn.Identity(), model[1], run.activation, [1])
    assert off(shared.raw, ordinary.raw) < 1e-5
    assert guided_gradients(run, [1]).shape == (len(batch), 1, *batch.shape[1:])


class Functional(nn.Module):
    def __init__(self, first: nn.Module, second: nn.Module, relu: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.relu = first, second, relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.second(self.relu(self.first(x))))


@pytest.mark.parametrize(
    ("functional", "module"),
    [
        (F.relu, nn.ReLU()),
        (lambda x: F.relu(x, inplace=True), nn.ReLU()),
        (torch.relu, nn.ReLU(inplace=True)),
        (torch.relu_, nn.ReLU()),
        (torch.Tensor.relu, nn.ReLU()),
        (lambda x: x.relu_(), nn.ReLU()),
        (F.relu6, nn.ReLU6()),
        (lambda x: F.relu6(x, inplace=True), nn.ReLU6(inplace=True)),
        (lambda x: F.hardtanh(x, 0.0, 6.0), nn.ReLU6()),
    ],
)
def test_functional_rectifiers_are_guided_too(
    functional: Callable[..., torch.Tensor], module: nn.Module, batch: torch.Tensor
) -> None:
    torch.manual_seed(3)
    first, second = nn.Conv2d(3, 8, 5, stride=2), nn.Conv2d(8, 4, 5, stride=2)
    nn.init.normal_(first.weight, std=0.4)  # large enough to reach the ceiling of 6
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    written = nn.Sequential(first, module, second, copy.deepcopy(module))
    expected = guided_backprop(written, head, batch, [0])
    got = guided_backprop(Functional(first, second, functional), head, batch, [0])
    assert torch.equal(got, expected)
    reference = GuidedBackprop(for_captum(nn.Sequential(written, head)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = reference.attribute(batch.clone().requires_grad_(), target=0)
    assert off(got[:, 0], theirs.detach()) < 1e-4


@pytest.mark.parametrize(
    ("activations", "has"),
    [
        ([nn.SiLU()], "this one has silu"),
        ([nn.GELU()], "this one has gelu"),
        ([nn.ReLU(), nn.Hardswish(inplace=True)], "this one has hardswish"),
        ([], "this one has none"),
    ],
)
def test_a_network_of_other_activations_is_refused(
    batch: torch.Tensor, activations: list[nn.Module], has: str
) -> None:
    body = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), *activations)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(Unprocessable, match=f"{has}; ask for gradcam only"):
        guided_backprop(body, head, batch, [0])


@pytest.mark.parametrize(
    ("architecture", "has"),
    [("mobilenet_v3_large", "hardswish"), ("efficientnet_b0", "silu"), ("convnext_tiny", "gelu")],
)
def test_networks_that_cannot_be_guided_say_so(architecture: str, has: str) -> None:
    model = build(architecture, 2).eval()
    with pytest.raises(Unprocessable, match=f"this one has {has}"):
        run_guided(model[0], model[1], torch.rand(1, 3, 64, 64))


def test_gates_do_not_hinder_a_network_of_relus() -> None:
    model = build("regnet_y_3_2gf", 2).eval()
    run = run_guided(model[0], model[1], torch.rand(1, 3, 64, 64))
    assert torch.isfinite(guided_gradients(run, [0])).all()


def test_guided_gradcam_keeps_what_lies_in_the_heat() -> None:
    gradient = torch.ones(3, 8, 8)
    gradient[:, :, 6:] = -2
    heat = torch.zeros(4, 4)
    heat[:, 3] = 5.0
    seen = guided_gradcam(gradient, heat)
    assert seen.shape == (3, 8, 8)
    assert torch.count_nonzero(seen[:, :, :5]) == 0
    assert torch.equal(seen[:, :, 7], torch.full((3, 8), -2.0))
    assert torch.equal(guided_gradcam(gradient, torch.zeros(4, 4)), torch.zeros(3, 8, 8))
