"""Our optimizer moves weights as fastai's Adam does, and each goes on from the other's state."""

from __future__ import annotations

import pytest
import torch
from fastai.optimizer import Adam
from torch import nn

from reel_trainer.adam import FusedAdam

STEPS = 20
ROUNDING = {torch.float64: 1e-12, torch.float32: 2e-6}


class Trained:
    """Three groups with a frozen one for some steps, norms and biases without decay, rate and momentum move."""

    def __init__(self, kind, dtype=torch.float64, device="cpu") -> None:
        torch.manual_seed(2)
        self.model = nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.Flatten(),
            nn.Linear(128, 3),
        ).to(device, dtype, memory_format=torch.channels_last)
        self.kind, self.dtype, self.device, self.done = kind, dtype, device, 0
        first, norm, second, _, last = self.model
        self.groups = [list(first.parameters()) + list(norm.parameters()), list(second.parameters())]
        unused = nn.Parameter(torch.ones(5, dtype=dtype, device=device))
        self.groups.append([*last.parameters(), unused])
        self.opt = self.optimizer()

    def optimizer(self):
        opt = self.kind(self.groups, lr=1e-3)
        opt.set_hypers(wd=0.1, lr=slice(1e-3, 1e-1))
        for parameter in self.model.parameters():
            if parameter.ndim == 1:
                opt.state[parameter]["do_wd"] = False
        return opt

    def train(self, steps: int) -> None:
        for number in range(self.done, self.done + steps):
            if number in (5, 12):
                self.opt.freeze_to(1 if number == 5 else 0)
                self.model.zero_grad(set_to_none=True)
            self.opt.set_hypers(lr=slice(1e-4 * (1 + number), 1e-2 * (1 + number)), mom=0.95 - 0.005 * number)
            x = torch.randn(4, 3, 8, 8, dtype=self.dtype, generator=torch.Generator().manual_seed(number))
            wanted = torch.tensor([0, 1, 2, 0], device=self.device)
            for _ in range(1 + number % 2):  # every other update is of two parts
                nn.functional.cross_entropy(self.model(x.to(self.device)), wanted).backward()
            weight = self.model[0].weight
            if weight.grad is not None and number % 3 == 0:
                weight.grad = weight.grad.contiguous()  # another memory format than the weight's
            self.opt.step()
            self.opt.zero_grad()
        self.done += steps

    def near(self, other, tolerance) -> None:
        for (mine, _, state, _), (theirs, _, wanted, _) in zip(
            self.opt.all_params(), other.opt.all_params(), strict=True
        ):
            assert (mine - theirs).abs().max() <= tolerance * theirs.abs().max()
            assert {name: value for name, value in state.items() if not torch.is_tensor(value)} == {
                name: value for name, value in wanted.items() if not torch.is_tensor(value)
            }
            for name in ("grad_avg", "sqr_avg"):
                assert (name in state) == (name in wanted)
                if name in wanted:
                    assert (state[name] - wanted[name]).abs().max() <= tolerance * wanted[name].abs().max()


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ROUNDING)
def test_it_moves_weights_as_fastais_does(dtype, device) -> None:
    ours, theirs, start = (Trained(kind, dtype, device) for kind in (FusedAdam, Adam, Adam))
    assert ours.opt.hypers == theirs.opt.hypers
    for opt in (ours, theirs):
        opt.train(STEPS)
    ours.near(theirs, 100 * ROUNDING[dtype])
    with pytest.raises(AssertionError):
        start.near(theirs, 0.01)
    assert {state["step"] for _, _, state, _ in ours.opt.all_params() if "step" in state} == {13, 20}
    for parameter, _, state, _ in ours.opt.all_params():
        if "step" in state:
            assert state["grad_avg"].stride() == state["sqr_avg"].stride() == parameter.stride()
    assert torch.equal(ours.groups[2][-1], torch.ones(5, dtype=dtype)), "no gradient, no decay"


@pytest.mark.parametrize(("before", "after"), [(Adam, FusedAdam), (FusedAdam, Adam)])
def test_one_goes_on_where_the_other_stopped(before, after) -> None:
    """A checkpoint holds the state by parameter, with these names."""
    whole, half = Trained(Adam), Trained(before)
    whole.train(STEPS)
    half.train(10)
    states = [dict(state) for _, _, state, _ in half.opt.all_params()]
    half.kind = after
    half.opt = half.optimizer()
    for (parameter, *_), state in zip(half.opt.all_params(), states, strict=True):
        # in the parameter's memory format, as ``checkpoints.load_optimizer`` puts them back
        half.opt.state[parameter] = {
            name: torch.empty_like(parameter, requires_grad=False).copy_(value)
            if torch.is_tensor(value)
            else value
            for name, value in state.items()
        }
    half.opt.freeze_to(1)
    half.train(10)
    half.near(whole, 1e-10)
