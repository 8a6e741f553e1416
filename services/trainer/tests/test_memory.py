"""Too little memory costs a training no epoch that it has learnt: it goes on in smaller parts, and says so."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from reel_shared.errors import Unprocessable
from reel_trainer import batch_search, memory
from reel_trainer.batch_search import batch_bound, largest_batch
from reel_trainer.batches import Places
from reel_trainer.checkpoints import load, random_state
from reel_trainer.group import Group
from reel_trainer.learner import prepare_network
from reel_trainer.training import Keeping, train_model

MIB = 2**20


def stages(**changes):
    return [
        {"name": "a", "size": 64, "batch_size": 64, "frozen": False, "epochs": 3, "lr_max": 1e-3} | changes
    ]


def train(shapes, recipe, folder, *, report=lambda event, data: None, resume=None):
    """Train and return what came of it and what was heard."""
    (folder / "scratch").mkdir(parents=True)
    (folder / "kept").mkdir()
    heard = []

    def hear(event, data):
        heard.append((event, data))
        report(event, data)

    places = Places(shapes.folder, folder / "scratch")
    keeping = Keeping(folder / "kept", "a" * 64, resume)
    made = train_model(
        shapes.manifest(),
        recipe,
        places,
        weights="package",
        seed=3,
        report=hear,
        keeping=keeping,
        device=torch.device("cpu"),
    )
    return made, heard


@pytest.fixture
def leave():
    """Let the system refuse this process more memory, and take all that it has but so many MiB; None: no more so."""
    before, ballast = resource.getrlimit(resource.RLIMIT_AS), []

    def fill() -> None:
        while True:
            ballast.append(torch.empty(MIB, dtype=torch.uint8))

    def bound(more: int) -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more * MIB, before[1]))

    def take(room: int | None) -> None:
        if room is None:
            resource.setrlimit(resource.RLIMIT_AS, before)
            ballast.clear()
            return
        bound(0)
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            fill()
        bound(room)

    yield take
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_what_a_system_without_memory_says_is_understood() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**55)
    assert memory.is_out_of_memory(refused.value)
    assert memory.is_out_of_memory(MemoryError())
    assert memory.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not memory.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not memory.is_out_of_memory(ValueError("can't allocate memory"))


@pytest.fixture
def machine(tmp_path):
    """Files as the kernel writes them: 8000 MiB are available."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16000 kB\nMemAvailable:   8192000 kB\nHugePages_Total:       0\n")
    return tmp_path / "cgroup", meminfo


def test_the_smaller_of_machine_and_cgroup_counts(machine) -> None:
    cgroup, meminfo = machine
    assert memory.available(cgroup, meminfo) == 8000 * MIB
    cgroup.mkdir()
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text(f"{900 * MIB}\n")
    (cgroup / "memory.stat").write_text(f"anon 5\ninactive_file {100 * MIB}\n")
    assert memory.available(cgroup, meminfo) == 8000 * MIB
    (cgroup / "memory.max").write_text(f"{1000 * MIB}\n")
    assert memory.available(cgroup, meminfo) == 200 * MIB, "a file's pages that nobody uses are free"
    (cgroup / "memory.max").write_text(f"{500 * MIB}\n")
    assert memory.available(cgroup, meminfo) == 0


def test_the_first_cgroups_are_read_too(machine) -> None:
    cgroup, meminfo = machine
    (cgroup / "memory").mkdir(parents=True)
    for name, text in (("limit_in_bytes", 2000 * MIB), ("usage_in_bytes", 500 * MIB)):
        (cgroup / f"memory/memory.{name}").write_text(str(text))
    (cgroup / "memory/memory.stat").write_text("total_inactive_file 0\n")
    assert memory.available(cgroup, meminfo) == 1500 * MIB
    assert 0 < memory.available() < 2**50
    assert memory.resident() > 10 * MIB


def test_memory_that_runs_out_halves_the_batch_and_loses_no_epoch(shapes, recipe, tmp_path, leave) -> None:
    """The system really refuses memory from the second epoch on; half a batch has room."""

    def report(event, data):
        if event == "epoch" and data["epoch"] == 1:
            leave(ROOM)

    result, heard = train(shapes, recipe(stages=stages()), tmp_path / "whole", report=report)
    assert [data["epoch"] for event, data in heard if event == "epoch"] == [1, 2, 3]
    (stage,) = result.stages
    assert (stage.batch_size, stage.accumulate, stage.epochs) == (32, 2, 3)
    (note,) = result.notes
    assert note == (
        "Stage a: out of memory at batch 64; went on from epoch 1 with 32 and 2 batches to one update."
    )
    assert note in [data.get("message") for event, data in heard if event == "progress"]
    kept = {data["epoch"]: Path(data["folder"]) for event, data in heard if event == "checkpoint"}
    assert [load(kept[epoch]).step for epoch in (1, 2)] == [(64, 1), (64, 2)]

    leave(None)
    again, after = train(shapes, recipe(stages=stages()), tmp_path / "again", resume=kept[2])
    assert [data["epoch"] for event, data in after if event == "epoch"] == [3]
    assert (again.logits == result.logits).all(), (
        "it went on with the batch that the checkpoint was made with"
    )
    assert again.notes == result.notes
    assert [(s.batch_size, s.accumulate) for s in again.stages] == [(32, 2)]


def test_no_memory_for_two_pictures_is_said(shapes, recipe, tmp_path, leave) -> None:
    def report(event, data):
        if event == "progress" and "stage" in data:
            leave(30)

    with pytest.raises(
        Unprocessable, match=r"Stage a: out of memory with 2 pictures of 192 px at a time; take"
    ):
        train(shapes, recipe(stages=stages(size=192, batch_size=4)), tmp_path / "s", report=report)


def test_how_far_auto_goes() -> None:
    assert [batch_bound(pictures, 1) for pictures in (9, 40, 148, 1000, 10**6)] == [2, 4, 16, 64, 256]
    assert batch_bound(1000, 4) == 16


def test_the_search_changes_nothing_and_stays_within_what_is_free(
    shapes, recipe, tmp_path, monkeypatch
) -> None:
    from reel_trainer.batches import Batches
    from reel_trainer.rows import choose_rows
    from reel_trainer.steps import Step

    made = recipe(stages=stages(batch_size="auto"))
    stage, manifest, device = made.stages[0], shapes.manifest(), torch.device("cpu")
    network = prepare_network("efficientnet_lite0", 3, "package")
    rows = choose_rows(manifest, made)
    places = Places(shapes.folder, tmp_path)
    batches = Batches(manifest.classes, made, places, rows, network.stats, device, 1, lambda text: None)
    loader = batches.loaders(stage, 0, Step(2, 1)).train
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    drawn = random_state()

    def search(free):
        monkeypatch.setattr(memory, "available", lambda: free)
        return largest_batch(network.model, made, stage, loader, "fp32", group=Group())

    bound = batch_bound(len(rows.train), 1)
    assert search(2**40) == bound >= 16
    smaller = search(2 * bound * 2 * MIB)
    assert 2 <= smaller < bound
    with pytest.raises(Unprocessable, match="Stage a has memory for less than 2 pictures of 64 px"):
        search(MIB)
    assert random_state() == drawn
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.model.state_dict().items())
    assert all(parameter.grad is None for parameter in network.model.parameters())


def test_the_batch_that_auto_found_is_recorded_and_not_sought_again(
    shapes, recipe, tmp_path, monkeypatch
) -> None:
    made = recipe(stages=stages(batch_size="auto", accumulate=2, epochs=2))
    result, heard = train(shapes, made, tmp_path / "a")
    (stage,) = result.stages
    assert (stage.batch_size, stage.accumulate) == (batch_bound(len(shapes.manifest().on("train")), 2), 2)
    assert result.notes == (f"Stage a: batch_size auto came to {stage.batch_size}.",)
    ends = [data for event, data in heard if event == "progress"][-1]
    assert ends["done"] == ends["total"]
    kept = next(Path(data["folder"]) for event, data in heard if event == "checkpoint")

    monkeypatch.setattr(batch_search, "LARGEST", 2)
    again, _ = train(shapes, made, tmp_path / "b", resume=kept)
    assert (again.logits == result.logits).all()
    assert [s.batch_size for s in again.stages] == [stage.batch_size]


ROOM = 430
"""MiB: more than half a batch of the test above takes, less than a whole one."""
