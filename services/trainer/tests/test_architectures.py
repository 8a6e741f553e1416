"""One network of each family trains a step in its three groups, and its graph answers OpenVINO as torch."""

from __future__ import annotations

import typing

import numpy as np
import pytest
import torch

from reel_networks import ARCHITECTURES, build, parameter_groups
from reel_shared.contracts.recipes import Architecture
from reel_trainer.export import Serving, check_graph, write_graph

SIZE = 64


def test_a_recipe_may_name_exactly_the_networks_there_are() -> None:
    assert typing.get_args(Architecture) == tuple(ARCHITECTURES)


@pytest.mark.parametrize(
    "architecture",
    ["resnext50", "densenet121", "efficientnet_b0", "mobilenet_v3_large", "convnext_tiny", "regnet_y_3_2gf"],
)
def test_it_trains_and_answers_alike(architecture, tmp_path) -> None:
    torch.manual_seed(1)
    model = build(architecture, 3).to(memory_format=torch.channels_last)
    rates = (1e-5, 1e-4, 1e-3)
    groups = parameter_groups(model)
    optimizer = torch.optim.Adam([{"params": g, "lr": lr} for g, lr in zip(groups, rates, strict=True)])
    before = [[parameter.detach().clone() for parameter in group] for group in groups]
    x = torch.randn(4, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    for held, group in zip(before, groups, strict=True):
        moved = [bool((old != new).any()) for old, new in zip(held, group, strict=True)]
        assert np.mean(moved) > 0.9, "all but what no gradient reaches"
    serving = Serving(model.eval(), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).eval()
    write_graph(serving, tmp_path / "model.onnx", size=SIZE)
    pictures = np.random.default_rng(1).integers(0, 256, (9, SIZE, SIZE, 3), dtype=np.uint8)
    check_graph(tmp_path / "model.onnx", serving, pictures)
