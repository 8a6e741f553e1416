"""A frozen body whose batch norms are folded into its convolutions answers as before, and nothing stays behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from torch import nn

from reel_networks import InputStats, build
from reel_trainer import learner
from reel_trainer.cache import build_cache
from reel_trainer.data import Loaders, Normalize, PictureLoader
from reel_trainer.folding import folded, pairs
from reel_trainer.group import Group
from reel_trainer.learner import prepare_network, run_stage
from reel_trainer.recipe import Stage
from reel_trainer.steps import Step, Together

FAMILIES = (
    "resnet18",
    "resnext50",
    "densenet121",
    "efficientnet_b0",
    "mobilenet_v3_large",
    "convnext_tiny",
    "regnet_y_3_2gf",
    "efficientnet_lite0",
)
"""One of each; deeper ones repeat the same blocks."""
FOLDED = {"densenet121": 59, "convnext_tiny": 0}
"""A DenseNet normalises before most of its convolutions; a ConvNeXt has no batch norms. Of others all are folded."""
APART = {torch.float64: 1e-10, torch.float32: 3e-3}
"""Of the largest activation. Random networks blow rounding up: in fp32 plain and exact ones differ by 1e-3 too."""
STAGE = {
    "name": "h",
    "size": 48,
    "batch_size": 16,
    "frozen": True,
    "train_bn": False,
    "epochs": 2,
    "lr_max": 1e-2,
}


def at_rest(body: nn.Module) -> nn.Module:
    """Let batch norms know what passes through them, which keeps activations in bounds, and freeze the body."""
    for norm in body.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)
            norm.momentum = 1.0
    like = next(body.parameters())
    with torch.no_grad():
        body.train()(torch.randn(4, 3, 32, 32, dtype=like.dtype))
    return body.eval().requires_grad_(False)


def left(body: nn.Module) -> list[nn.Module]:
    return [module for module in body.modules() if "forward" in vars(module)]


@pytest.mark.parametrize("architecture", FAMILIES)
def test_it_answers_alike_and_stays_itself(architecture) -> None:
    torch.manual_seed(1)
    body = at_rest(build(architecture, 3)[0].to(torch.float64, memory_format=torch.channels_last))
    before = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in body.modules())
    x = torch.randn(2, 3, 32, 32)
    exact = body(x.double())
    for dtype in (torch.float64, torch.float32):
        body.to(dtype)
        plain = body(x.to(dtype))
        with folded(body) as found:
            assert len(found) == FOLDED.get(architecture, norms)
            again = body(x.to(dtype))
            assert again.is_contiguous(memory_format=torch.channels_last)
            state = body.state_dict()
            assert state.keys() == before.keys()
            assert all(torch.equal(tensor, before[name].to(tensor.dtype)) for name, tensor in state.items())
        assert (again.double() - exact).abs().max() <= APART[dtype] * exact.abs().max()
        assert not found or not torch.equal(again, plain), "something was folded"
        assert torch.equal(body(x.to(dtype)), plain)
        assert not left(body)


def test_in_bf16_it_is_as_near_as_before() -> None:
    torch.manual_seed(1)
    body = at_rest(prepare_network("efficientnet_lite0", 3, "package").model[0])
    x = torch.randn(8, 3, 64, 64)
    exact = body(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = body(x)
        with folded(body):
            again = body(x)
    error, before = ((answer.float() - exact).abs().mean() for answer in (again, plain))
    assert error < 1.2 * before


class Network(nn.Module):
    """A convolution and a batch norm, with a few ways to use them."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        made = self.convolution(x)
        if self.way == "also added":
            return self.norm(made) + made
        if self.way == "shifted":
            return self.norm(made + 1)
        if self.way == "changed in place":
            return self.norm(made.relu_())
        if self.way == "returned":
            self.norm(made)
            return made
        if self.way == "norm twice":
            return self.norm(self.norm(made))
        if self.way == "convolution twice":
            return self.norm(self.convolution(made))
        return self.norm(made)


@pytest.mark.parametrize(
    "way", ["also added", "shifted", "changed in place", "returned", "norm twice", "convolution twice"]
)
def test_what_somebody_else_uses_is_left_alone(way) -> None:
    torch.manual_seed(1)
    body = at_rest(Network(way))
    assert pairs(body) == []


def test_only_what_rests_is_folded() -> None:
    def body() -> Network:
        torch.manual_seed(1)
        made = at_rest(Network("plain"))
        assert isinstance(made, Network)
        return made

    assert len(pairs(body())) == 1
    learns, trains, heard = body(), body(), body()
    learns.convolution.weight.requires_grad_(True)
    trains.norm.train()
    heard.convolution.register_forward_hook(lambda module, inputs, output: output * 2)
    for each in (learns, trains, heard):
        assert pairs(each) == []
    without = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    assert pairs(without.eval().requires_grad_(False)) == []


class Look(Callback):
    """Counts folded modules in each batch, and raises after one where asked to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen, self.error = {True: set(), False: set()}, error

    def after_pred(self) -> None:
        self.seen[self.training].add(len(left(self.model)))

    def after_batch(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture(scope="module")
def loaders(shapes, tmp_path_factory):
    cpu = torch.device("cpu")
    pictures = build_cache(
        shapes.images[:64], shapes.folder, tmp_path_factory.mktemp("c") / "t.u8", side=48, roomy=True
    )

    def make() -> Loaders:
        plain = Normalize.of(InputStats((0.5,) * 3, (0.25,) * 3), cpu)
        labels = np.arange(len(pictures)) % 3
        train, valid = (
            PictureLoader(pictures, labels, plain, batch_size=16, device=cpu, rng=rng)
            for rng in (np.random.default_rng(7), None)
        )
        return Loaders(train, valid, cpu)

    return make


def run(recipe, loaders, look: Look, **changes) -> nn.Sequential:
    torch.manual_seed(3)
    model = prepare_network("efficientnet_lite0", 3, "package").model.to(memory_format=torch.channels_last)
    together = Together(Step(16, 1), Group(), ())
    stage = STAGE | changes
    try:
        run_stage(model, recipe(stages=[stage]), Stage(**stage), loaders(), "fp32", [look], together=together)
    finally:
        look.model = model
    return model


def test_a_stage_trains_and_validates_folded_and_learns_the_same(recipe, loaders, monkeypatch) -> None:
    look = Look()
    quick = run(recipe, loaders, look).state_dict()
    assert look.seen == {True: {2 * 49}, False: {2 * 49}}
    assert not left(look.model)
    start = prepare_network("efficientnet_lite0", 3, "package").model.state_dict()
    assert all(torch.equal(quick[name], start[name]) for name in start if name.startswith("0."))
    torch.manual_seed(3)
    head = prepare_network("efficientnet_lite0", 3, "package").model.state_dict()
    monkeypatch.setattr(learner, "_at_rest", lambda model, stage: learner.nullcontext())
    look = Look()
    slow = run(recipe, loaders, look).state_dict()
    assert look.seen == {True: {0}, False: {0}}
    apart, moved = (
        torch.cat([(slow[name] - other[name]).flatten() for name in slow if name.startswith("1.")])
        for other in (quick, head)
    )
    assert apart.norm() < 0.01 * moved.norm()


@pytest.mark.parametrize("changes", [{"train_bn": True}, {"frozen": False}])
def test_a_stage_that_changes_its_batch_norms_is_not_folded(recipe, loaders, changes) -> None:
    look = Look()
    run(recipe, loaders, look, epochs=1, **changes)
    assert look.seen == {True: {0}, False: {0}}


@pytest.mark.parametrize("error", [RuntimeError("lost"), MemoryError("lost"), KeyboardInterrupt()])
def test_nothing_stays_behind_an_error(recipe, loaders, error) -> None:
    look = Look(error)
    with pytest.raises(type(error)):
        run(recipe, loaders, look)
    assert look.seen == {True: {2 * 49}, False: set()}
    assert not left(look.model)
