"""An update of the weights is the same one however many parts its pictures pass in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reel_networks import InputStats
from reel_networks.architectures import Body
from reel_shared.errors import Unprocessable
from reel_trainer.cache import build_cache
from reel_trainer.data import Loaders, Normalize, PictureLoader, Share
from reel_trainer.group import Group
from reel_trainer.learner import run_stage
from reel_trainer.recipe import Stage, parse_recipe
from reel_trainer.rows import choose_rows
from reel_trainer.steps import Step, Together

CPU = torch.device("cpu")
STATS = InputStats((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
STAGE = {"name": "a", "size": 32, "batch_size": 16, "frozen": False, "epochs": 2, "lr_max": [1e-3, 1e-2]}


def test_halving_keeps_the_update_and_ends_at_two_pictures() -> None:
    steps = [Step(78, 1)]
    while (smaller := steps[-1].halved()) is not None:
        steps.append(smaller)
    assert [(step.at_once, step.parts) for step in steps] == [
        (78, 1),
        (39, 2),
        (20, 4),
        (10, 8),
        (5, 16),
        (3, 32),
    ]
    assert {step.pictures for step in steps} == {78}
    assert Step.of(Stage(**STAGE | {"accumulate": 3}), 16) == (48, 3)
    assert [Step(8, 2).trains(processes) for processes in (1, 2, 3)] == [True, True, False]
    assert Step(8, 1).halved(2) == (8, 2)
    assert Step(8, 2).halved(2) is None


@pytest.fixture(scope="module")
def pictures(shapes, tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "t.u8"
    return build_cache(shapes.images[:100], shapes.folder, path, side=32, roomy=True)


def loader(pictures, step, share=Share()):
    return PictureLoader(
        pictures,
        np.arange(len(pictures)) % 3,
        Normalize.of(STATS, CPU),
        batch_size=step.pictures,
        parts=step.parts,
        share=share,
        device=CPU,
        rng=np.random.default_rng(7),
    )


@pytest.mark.parametrize("step", [Step(32, 1), Step(32, 2), Step(30, 4), Step(33, 2)])
def test_parts_and_shares_hold_the_pictures_of_the_whole_update(pictures, step) -> None:
    whole = list(loader(pictures, Step(step.pictures, 1)))
    updates = len(pictures) // step.pictures
    for processes in (1, 2, 3):
        ranks = [loader(pictures, step, Share(rank, processes)) for rank in range(processes)]
        assert {len(each) for each in ranks} == {updates * step.parts}
        assert {each.images for each in ranks} == {updates * step.pictures}
        shares = [list(each) for each in ranks]
        sizes = {len(labels) for share in shares for _, labels in share}
        assert max(sizes) - min(sizes) <= 1
        for number in range(updates):
            places = range(number * step.parts, (number + 1) * step.parts)
            for side in (0, 1):
                together = torch.cat([share[place][side] for place in places for share in shares])
                assert torch.equal(together, whole[number][side])


def test_judging_is_divided_in_order(pictures) -> None:
    def judging(share):
        labels = np.arange(len(pictures))
        return PictureLoader(
            pictures, labels, Normalize.of(STATS, CPU), batch_size=8, device=CPU, share=share
        )

    for processes in (1, 2, 3):
        ranks = [judging(Share(rank, processes)) for rank in range(processes)]
        assert [len(list(each)) for each in ranks] == [len(each) for each in ranks]
        assert [int(n) for each in ranks for _, y in each for n in y] == list(range(len(pictures)))


def without_norms():
    """A network whose answer to a picture does not depend on the others in its batch."""
    torch.manual_seed(5)
    body = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    late = [nn.Conv2d(8, 8, 3), nn.ReLU()]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(Body(*body, *late), head)


def trained(pictures, recipe, step):
    model = without_norms()
    run_stage(
        model,
        recipe(stages=[STAGE]),
        Stage(**STAGE),
        Loaders(loader(pictures, step), [], CPU),
        "fp32",
        [],
        together=Together(step, Group(), ()),
    )
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_two_batches_of_16_move_the_weights_as_one_of_32(pictures, recipe) -> None:
    whole = trained(pictures, recipe, Step(32, 1))
    moved = (whole - torch.cat([p.detach().flatten() for p in without_norms().parameters()])).abs().max()
    for step in (Step(32, 2), Step(32, 3), Step(32, 8)):
        assert (trained(pictures, recipe, step) - whole).abs().max() < 1e-4 * moved, step
    # what a sum without its weights, or rates that move from part to part, would come to
    assert (trained(pictures, recipe, Step(16, 1)) - whole).abs().max() > 0.05 * moved


def test_what_a_recipe_may_say_of_batches(shapes, recipe) -> None:
    stage = "{{name: s, size: 64, {}, frozen: true, epochs: 1, lr_max: 1}}"
    text = f"name: m\narchitecture: resnet18\nweights: none\nstages: [{stage}]"
    assert parse_recipe(text.format("batch_size: auto")).stages[0].batch_size == "auto"
    assert parse_recipe(text.format("batch_size: 16, accumulate: 4")).stages[0].least_update == 64
    for wrong in ("batch_size: 1", "batch_size: most", "batch_size: 8, accumulate: 0"):
        with pytest.raises(Unprocessable, match=r"stages\.0\."):
            parse_recipe(text.format(wrong))
    many = recipe(stages=[{**STAGE, "accumulate": 64}])
    with pytest.raises(Unprocessable, match=r"fewer than one batch of stage a \(1024\)"):
        choose_rows(shapes.manifest(), many)
