"""Our maps against captum, pytorch-grad-cam and the article's author's code: equal to 1e-4 on every kind of network.

The peers are those that ``benchmarks/explaining.py`` measures.
"""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reel_explainer.guided import guided_gradients, run_guided, stretched_gradcam
from reel_networks.gradcam import gradcam, normalise

PEERS = Path(__file__).resolve().parents[3] / "benchmarks" / "explaining_peers.py"
ARCHITECTURES = ["resnet18", "resnet34", "resnet50", "resnext50", "densenet121"]
LABELS = [0, 3]
TOLERANCE = 1e-4
"""Largest difference, relative to the largest value."""
GATES = 1e-3
"""Where the peer adds in another order: in float32 a ReLU whose input is within rounding of zero may pass in one and
not in the other, which shows in single pixels. In float64 no such gate is met."""


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("explaining_peers", PEERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, network: Callable[[str], nn.Sequential]) -> nn.Sequential:
    return network(request.param)


@pytest.fixture
def theirs(model: nn.Sequential) -> nn.Sequential:
    """A copy for those that change what they are given."""
    return copy.deepcopy(model)


@pytest.fixture
def x(batch: Tensor) -> Tensor:
    return batch[1:2]


def off(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_gradcam(peers: ModuleType, model: nn.Sequential, theirs: nn.Sequential, x: Tensor) -> None:
    ours = gradcam(model[0], model[1], x, LABELS)
    upscaled = nn.functional.interpolate(ours.normalised, size=x.shape[-2:], mode="bilinear")
    compared = 0
    for place, label in enumerate(LABELS):
        if not ours.raw[:, place].any():
            continue
        compared += 1
        assert off(ours.raw[:, place], peers.captum_cam(theirs, x, label)) < TOLERANCE
        assert off(ours.raw[0, place], peers.author_cam(theirs, x, label)) < TOLERANCE
        # it stretches once more after upscaling, which never quite reaches 0 and 1
        drawn = torch.from_numpy(peers.pgc_cam(theirs, x, label))
        assert off(normalise(upscaled[:, place]), drawn) < TOLERANCE
    assert compared


def test_guided_backpropagation(
    peers: ModuleType, model: nn.Sequential, theirs: nn.Sequential, x: Tensor
) -> None:
    ours = guided_gradients(run_guided(model[0], model[1], x), LABELS)
    for place, label in enumerate(LABELS):
        assert off(ours[:, place], peers.captum_guided(theirs, x, label)) < TOLERANCE
        assert off(ours[0, place], peers.author_guided(theirs, x, label)) < TOLERANCE
    # the last: it leaves the model with other modules than it found
    drawn = torch.from_numpy(peers.pgc_guided(theirs, x, LABELS[0]))
    assert off(ours[0, 0], drawn.permute(2, 0, 1)) < GATES


def test_guided_backpropagation_without_rounding(peers: ModuleType, theirs: nn.Sequential, x: Tensor) -> None:
    body, head = theirs.double()
    ours = guided_gradients(run_guided(body, head, x.double()), LABELS[:1])[0, 0]
    drawn = torch.from_numpy(peers.pgc_guided(theirs, x.double(), LABELS[0]))
    assert off(ours, drawn.permute(2, 0, 1)) < 1e-12


def test_what_the_author_plotted(
    peers: ModuleType, model: nn.Sequential, theirs: nn.Sequential, x: Tensor
) -> None:
    heat = gradcam(model[0], model[1], x, LABELS).raw[0]
    gradient = guided_gradients(run_guided(model[0], model[1], x), LABELS)[0]
    place = int(heat.amax((1, 2)).argmax())
    label = LABELS[place]
    his = peers.author_drawn(peers.author_guided(theirs, x, label), peers.author_cam(theirs, x, label))
    ours = stretched_gradcam(gradient[place], heat[place]).permute(1, 2, 0)
    assert off(ours, torch.from_numpy(np.ascontiguousarray(his))) < TOLERANCE
