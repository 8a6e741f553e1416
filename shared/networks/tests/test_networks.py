"""The networks: shapes, parameter groups, public weights, and safetensors that come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import save_file

from reel_networks import (
    ARCHITECTURES,
    WeightsError,
    build,
    input_stats,
    load_pretrained,
    load_weights,
    parameter_groups,
    save_weights,
)
from reel_networks.architectures import cut, find, full_network
from reel_networks.weights import _package_state


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_logits_and_three_groups(architecture: str) -> None:
    """Without memory for numbers, but for RegNet, whose constructor computes its widths as tensors."""
    with torch.device("cpu" if architecture.startswith("regnet") else "meta"):
        model = build(architecture, 4).eval()
        features = model[0](torch.rand(2, 3, 64, 64))
        assert features.shape == (2, ARCHITECTURES[architecture].features, 2, 2)
        assert model[1](features).shape == (2, 4)
        early = torch.rand(2, 3, 64, 64)
        for layer in model[0].parts()[0]:
            early = layer(early)
        assert early.shape[2:] == (8, 8), "the early part ends at stride 8"
    groups = parameter_groups(model)
    assert len(groups) == 3
    assert all(groups)
    grouped = [id(parameter) for group in groups for parameter in group]
    assert len(grouped) == len(set(grouped)), "no parameter is in two groups"
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


@pytest.mark.parametrize(
    "architecture", ["resnet18", "densenet121", "mobilenet_v3_large", "efficientnet_lite0"]
)
def test_the_body_is_the_original_network_up_to_its_pooling(architecture: str) -> None:
    found = find(architecture)
    network = full_network(found).eval()
    heard = []
    # some pool by a function, and some have pooling inside their blocks too: what is pooled last goes to a Linear
    head = next(m for m in network.modules() if isinstance(m, torch.nn.Linear))
    head.register_forward_pre_hook(lambda _module, inputs: heard.append(inputs[0]))
    body = cut(found, network).eval()
    assert all(m.momentum == 0.1 for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d))
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        network(x)
        torch.testing.assert_close(body(x).mean((2, 3)), heard[0])


def test_package_weights_and_their_stats_know_a_cat() -> None:
    found = find("efficientnet_lite0")
    network = full_network(found)
    network.load_state_dict(_package_state(found))
    picture = Image.fromarray(skimage.data.chelsea()).crop((75, 0, 375, 300)).resize((224, 224))
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(part)[:, None, None] for part in input_stats(found.name, "package"))
    with torch.no_grad():
        probabilities = network.eval()((x - mean) / std).softmax(1)[0]
    cats = probabilities[281:286].sum()  # ImageNet's five kinds of domestic cat
    assert cats > 0.8


def test_body_equals_the_package_network() -> None:
    found = find("efficientnet_lite0")
    model = build(found.name, 3).eval()
    load_pretrained(model, found.name, "package")
    network = full_network(found)
    network.load_state_dict(_package_state(found))
    network.eval()
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(model[0](x), network.extract_features(x))


def test_stats_belong_to_the_weights() -> None:
    assert input_stats("resnet50", "torchvision").mean == (0.485, 0.456, 0.406)
    assert input_stats("efficientnet_lite0", "package") == (
        pytest.approx([127 / 255] * 3),
        pytest.approx([128 / 255] * 3),
    )


def test_round_trip_with_metadata(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    model = build("resnet18", 3).eval()
    save_weights(model, path, architecture="resnet18", stats=((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    again = build("resnet18", 3).eval()
    load_weights(again, path)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(x), again(x))
    assert input_stats("resnet18", path) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert load_pretrained(build("resnet18", 3), "resnet18", path) == "body and head"
    assert load_pretrained(build("resnet18", 5), "resnet18", path) == "body"


@pytest.mark.parametrize("architecture", ["resnet18", "densenet121"])
def test_file_with_the_original_names(tmp_path, architecture: str) -> None:
    path = tmp_path / "original.safetensors"
    network = full_network(find(architecture)).eval()
    save_file(network.state_dict(), path)
    model = build(architecture, 3).eval()
    assert load_pretrained(model, architecture, path) == "body"
    first = next(network.parameters())
    assert torch.equal(next(model.parameters()), first)
    assert input_stats(architecture, path).mean == (0.485, 0.456, 0.406)


def test_wrong_weights_are_refused(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(build("resnet18", 3), path, architecture="resnet18", stats=((0.5,) * 3, (0.5,) * 3))
    with pytest.raises(WeightsError, match="does not fit"):
        load_pretrained(build("resnet34", 3), "resnet34", path)
    with pytest.raises(WeightsError, match="no package carries"):
        load_pretrained(build("resnet18", 3), "resnet18", "package")
    path.write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match="not a readable"):
        load_pretrained(build("resnet18", 3), "resnet18", path)
    with pytest.raises(ValueError, match="choose one of"):
        build("alexnet", 3)


def test_file_without_stats_is_not_guessed(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(build("resnet18", 3).state_dict(), path)
    with pytest.raises(WeightsError, match="does not say its mean"):
        input_stats("resnet18", path)
