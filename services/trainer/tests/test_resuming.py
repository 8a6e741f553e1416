"""A training that is stopped anywhere goes on from its last checkpoint to the same weights, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reel_shared.errors import Corrupt, Unprocessable
from reel_trainer import checkpoints
from reel_trainer.batches import Places
from reel_trainer.callbacks import is_over
from reel_trainer.recipe import Recipe, Stage
from reel_trainer.training import Keeping, train_model

PLAN = "a" * 64


def three_stages(**changes) -> Recipe:
    common = {"size": 32, "batch_size": 32}
    stages = [
        {"name": "head", "frozen": True, "train_bn": False, "epochs": 1, "lr_max": 1e-2},
        {"name": "all", "frozen": False, "epochs": 2, "lr_max": [1e-4, 2e-3]},
        {"name": "large", "frozen": True, "train_bn": True, "epochs": 2, "lr_max": 1e-3, "size": 40},
    ]
    facts = {
        "name": "three",
        "architecture": "efficientnet_lite0",
        "weights": "package",
        "sampling": "balanced",
    }
    return Recipe.model_validate(facts | {"stages": [common | stage for stage in stages]} | changes)


def train(shapes, folder, recipe, *, resume=None, plan=PLAN, **options):
    """Train, from a checkpoint when one is given; return what came of it and what was heard."""
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    heard = []
    result = train_model(
        shapes.manifest(),
        recipe,
        Places(shapes.folder, scratch),
        weights="package",
        seed=3,
        report=lambda event, data: heard.append((event, data)),
        keeping=Keeping(folder / "kept", plan, resume),
        **options,
    )
    return result, heard


def kept(heard, stage, epoch):
    return next(
        Path(data["folder"])
        for event, data in heard
        if event == "checkpoint" and (data["stage"], data["epoch"]) == (stage, epoch)
    )


@pytest.fixture(scope="module")
def whole(shapes, tmp_path_factory):
    """The training that nothing interrupts, and the checkpoints it left."""
    folder = tmp_path_factory.mktemp("whole")
    return *train(shapes, folder, three_stages()), folder


def same(left, right) -> None:
    for name, tensor in left.network.model.state_dict().items():
        assert torch.equal(tensor, right.network.model.state_dict()[name]), name
    assert (left.logits == right.logits).all()
    assert left.metrics == right.metrics
    assert left.curve == right.curve
    measured = {"images_per_second", "seconds", "memory"}
    plain = [{k: v for k, v in row.items() if k not in measured} for row in left.epochs]
    assert plain == [{k: v for k, v in row.items() if k not in measured} for row in right.epochs]


@pytest.mark.parametrize("place", [("head", 1), ("all", 1), ("all", 2), ("large", 1)])
def test_it_ends_with_the_same_bits_wherever_it_was_stopped(shapes, whole, tmp_path, place) -> None:
    """Only what lies in the checkpoint is taken over, as by a process that has never seen the training."""
    result, heard, _ = whole
    torch.manual_seed(99)
    again, after = train(
        shapes, tmp_path, three_stages(), resume=kept(heard, *place), device=torch.device("cpu")
    )
    same(result, again)
    written = [(data["stage"], data["epoch"]) if event == "checkpoint" else None for event, data in heard]
    until = heard[: written.index(place)]
    rows = [data for event, data in until + after if event == "epoch"]
    assert [(row["stage"], row["epoch"], row["lr"]) for row in rows] == [
        (data["stage"], data["epoch"], data["lr"]) for event, data in heard if event == "epoch"
    ]
    assert [stage.name for stage in again.stages] == ["head", "all", "large"]
    done = [data["done"] for event, data in after if event == "progress"]
    assert done == sorted(done)
    assert done[0] > 0
    assert done[-1] == [data["total"] for event, data in after if event == "progress"][-1]


def test_a_frozen_body_keeps_what_an_unfrozen_stage_taught_it(whole) -> None:
    """Its gradients of zeros would let weight decay change it: the last stage trains head and batch norms alone."""
    result, heard, _ = whole
    taught = load_file(kept(heard, "all", 2) / checkpoints.WEIGHTS)
    state = result.network.model.state_dict()
    convolutions = [name for name, tensor in taught.items() if name.startswith("0.") and tensor.ndim == 4]
    assert len(convolutions) > 20
    for name in convolutions:
        assert torch.equal(state[name].contiguous(), taught[name]), name


def test_what_was_random_is_random_still(shapes, whole, tmp_path) -> None:
    """Without the random states of the checkpoint the same training ends elsewhere: the test above can fail."""
    result, heard, _ = whole
    folder = tmp_path / "altered"
    shutil.copytree(kept(heard, "all", 1), folder)
    state = json.loads((folder / checkpoints.STATE).read_text())
    state["loader"]["state"]["state"] += 1
    (folder / checkpoints.STATE).write_text(json.dumps(state))
    again, _ = train(shapes, tmp_path, three_stages(), resume=folder)
    assert (again.logits != result.logits).any()


def test_the_best_epoch_is_kept_across_a_stop(shapes, tmp_path) -> None:
    stages = [
        {"name": "wild", "size": 32, "batch_size": 32, "frozen": True, "train_bn": False, "epochs": 4,
         "lr_max": 3.0, "keep_best": True},
    ]  # fmt: skip
    recipe = three_stages(stages=stages)
    result, heard = train(shapes, tmp_path / "whole", recipe)
    rows = [data for event, data in heard if event == "epoch"]
    best = max(rows, key=lambda row: (row["accuracy"], -row["valid_loss"]))
    stage = result.stages[0]
    assert (stage.kept_epoch, stage.accuracy) == (best["epoch"], best["accuracy"])
    assert result.metrics["all"].accuracy == best["accuracy"]
    assert best["accuracy"] > rows[-1]["accuracy"] or best["epoch"] == 4
    for place in (best["epoch"], 4):
        again, _ = train(shapes, tmp_path / f"{place}", recipe, resume=kept(heard, "wild", place))
        same(result, again)


def test_patience_ends_a_stage_and_a_stop_does_not_forget_it(shapes, tmp_path) -> None:
    stages = [
        {"name": "still", "size": 32, "batch_size": 32, "frozen": True, "train_bn": False, "epochs": 9,
         "lr_max": 1e-9, "patience": 1},
    ]  # fmt: skip
    recipe = three_stages(stages=stages)
    result, heard = train(shapes, tmp_path / "a", recipe)
    ran = len([event for event, _ in heard if event == "epoch"])
    assert ran < 9
    assert result.stages[0].epochs == ran
    again, after = train(shapes, tmp_path / "b", recipe, resume=kept(heard, "still", ran))
    assert not [event for event, _ in after if event == "epoch"]
    same(result, again)


def test_when_a_stage_is_over() -> None:
    stage = Stage(name="s", size=48, batch_size=8, frozen=True, epochs=9, lr_max=1e-3, patience=2)
    rows = [{"accuracy": a, "valid_loss": 1.0} for a in (0.5, 0.7, 0.6, 0.7)]
    assert [is_over(stage, rows[:n]) for n in range(5)] == [False, False, False, False, True]
    better = [*rows[:3], {"accuracy": 0.7, "valid_loss": 0.9}]
    assert not is_over(stage, better)
    assert is_over(stage.model_copy(update={"epochs": 2}), rows[:2])


def test_a_checkpoint_of_another_training_is_refused(shapes, whole, tmp_path) -> None:
    _, heard, _ = whole
    with pytest.raises(Unprocessable, match="of another training"):
        train(shapes, tmp_path, three_stages(), resume=kept(heard, "all", 1), plan="b" * 64)


def test_a_damaged_checkpoint_is_refused(shapes, whole, tmp_path) -> None:
    _, heard, _ = whole
    for name in (checkpoints.STATE, checkpoints.WEIGHTS, checkpoints.OPTIMIZER):
        folder = tmp_path / name
        shutil.copytree(kept(heard, "all", 1), folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:-9])
        with pytest.raises(Corrupt, match="start the training anew"):
            train(shapes, tmp_path / "x", three_stages(), resume=folder)


def test_a_checkpoint_appears_whole_or_not_at_all(whole) -> None:
    _, heard, folder = whole
    assert sorted(path.name for path in (folder / "kept").iterdir()) == [
        "00-0001", "01-0001", "01-0002", "02-0001", "02-0002",
    ]  # fmt: skip
    names = {path.name for path in kept(heard, "all", 1).iterdir()}
    assert names == {checkpoints.STATE, checkpoints.WEIGHTS, checkpoints.OPTIMIZER}
    assert checkpoints.OPTIMIZER not in {path.name for path in kept(heard, "all", 2).iterdir()}
