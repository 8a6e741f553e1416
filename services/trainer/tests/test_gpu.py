"""What only a GPU can show: fp16 with a gradient scaler, memory that really runs out there, a child started for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from reel_shared.manifest import identity, to_bytes
from reel_shared.model_card import load_model_card
from reel_trainer import checkpoints, precision
from reel_trainer.batches import Batches, Places
from reel_trainer.child import follow
from reel_trainer.learner import prepare_network
from reel_trainer.rows import choose_rows
from reel_trainer.run import RESULT, Spec
from reel_trainer.steps import Step
from reel_trainer.training import Keeping, train_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no GPU here; `make test-gpu` shows one to the tests"
    ),
]
PLAN = "a" * 64


def train(shapes, recipe, folder: Path, *, resume: Path | None = None):
    """Train on the GPU and return what came of it and what was heard."""
    (folder / "scratch").mkdir(parents=True)
    heard: list[tuple[str, dict]] = []
    result = train_model(
        shapes.manifest(),
        recipe,
        Places(shapes.folder, folder / "scratch"),
        weights="package",
        seed=3,
        report=lambda event, data: heard.append((event, data)),
        keeping=Keeping(folder / "kept", PLAN, resume),
    )
    return result, heard


def stages(**changes):
    both = {"size": 64, "batch_size": 16, "frozen": False, "epochs": 3, "lr_max": [1e-4, 2e-3]} | changes
    head = {"name": "head", "size": 64, "batch_size": 16, "frozen": True, "train_bn": False, "epochs": 1}
    return [head | {"lr_max": 1e-2}, {"name": "all", **both}]


def kept(heard, stage: str, epoch: int) -> Path:
    return next(
        Path(data["folder"])
        for event, data in heard
        if event == "checkpoint" and (data["stage"], data["epoch"]) == (stage, epoch)
    )


def test_fp16_learns_and_goes_on_from_a_checkpoint_with_its_scale(shapes, recipe, tmp_path) -> None:
    made = recipe(stages=stages())
    whole, heard = train(shapes, made, tmp_path / "whole")
    assert (whole.precision, whole.device) == ("fp16", torch.cuda.get_device_name())
    assert whole.metrics["all"].accuracy > 0.8
    rows = [data for event, data in heard if event == "epoch"]
    assert all(row["gpu_memory"] > 0 for row in rows)
    middle = kept(heard, "all", 2)
    scaler = checkpoints.load(middle).scaler
    assert scaler["scale"] > 1
    assert scaler["_growth_tracker"] > 0

    again, after = train(shapes, made, tmp_path / "again", resume=middle)
    (last,) = [data for event, data in after if event == "epoch"]
    assert (last["stage"], last["epoch"], last["lr"]) == ("all", 3, rows[-1]["lr"])
    end, resumed = (checkpoints.load(kept(told, "all", 3)).scaler for told in (heard, after))
    assert (resumed["scale"], resumed["_growth_tracker"]) == (end["scale"], end["_growth_tracker"])
    # the order of sums on a GPU is not fixed: near, not alike
    assert abs(again.metrics["all"].accuracy - whole.metrics["all"].accuracy) < 0.1


def test_a_gradient_beyond_fp16_skips_its_step_and_lowers_the_scale(
    shapes, recipe, tmp_path, monkeypatch
) -> None:
    high, kind = 2.0**24, precision.MixedPrecision
    monkeypatch.setattr(
        precision, "MixedPrecision", lambda amp_mode: kind(amp_mode=amp_mode, init_scale=high)
    )
    result, heard = train(shapes, recipe(stages=stages()[1:]), tmp_path)
    state = checkpoints.load(kept(heard, "all", 2))
    assert state.scaler["scale"] < high
    done = {known["step"] for known in state.optimizer}
    batches = 2 * (len(shapes.manifest().on("train")) // 16)
    assert len(done) == 1, "a step is skipped for the whole network"
    assert 0 < done.pop() < batches
    assert all(torch.isfinite(tensor).all() for tensor in result.network.model.state_dict().values())


def test_gpu_memory_that_runs_out_halves_the_batch(shapes, recipe, tmp_path) -> None:
    made = recipe(stages=stages(size=224, batch_size=64, epochs=1)[1:])
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 1.2 * 2**30) / total)
    try:
        result, _ = train(shapes, made, tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    (stage,) = result.stages
    assert stage.batch_size < 64
    assert stage.batch_size * stage.accumulate == 64
    assert "out of memory at batch 64; went on from its beginning" in result.notes[0]


def test_auto_finds_what_fits(shapes, recipe, tmp_path) -> None:
    result, _ = train(shapes, recipe(stages=stages(batch_size="auto", epochs=1)[1:]), tmp_path)
    assert result.stages[0].batch_size == 16, "eight updates an epoch are wanted"


def test_batches_are_those_of_a_cpu(shapes, recipe, tmp_path) -> None:
    made, manifest = recipe(stages=stages()), shapes.manifest()
    network = prepare_network("efficientnet_lite0", 3, "package")
    rows, found = choose_rows(manifest, made), {}
    for kind in ("cpu", "cuda"):
        (tmp_path / kind).mkdir()
        places, device = Places(shapes.folder, tmp_path / kind), torch.device(kind)
        batches = Batches(manifest.classes, made, places, rows, network.stats, device, 1, lambda text: None)
        loaders = batches.loaders(made.stages[0], 0, Step(16, 1))
        found[kind] = [x.cpu() for x, _ in loaders.valid], [y.cpu() for _, y in loaders.train]
    for one, other in zip(*(pictures for pictures, _ in found.values()), strict=True):
        assert (one - other).abs().max() < 1e-5
    for one, other in zip(*(labels for _, labels in found.values()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.timeout(400)
def test_a_worker_s_child_trains_on_every_gpu_and_publishes(shapes, recipe, tmp_path) -> None:
    manifest = shapes.manifest()
    (tmp_path / "manifest.json").write_bytes(to_bytes(manifest))
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    spec = Spec(
        manifest=tmp_path / "manifest.json",
        manifest_sha256=identity(manifest),
        pictures=shapes.folder,
        recipe=recipe(stages=stages()),
        weights="package",
        seed=1,
        out=tmp_path / "out",
        scratch=tmp_path / "scratch",
        model_id="mdl_1",
        dataset_version_id="dsv_1",
    )
    heard: list[str] = []
    follow(
        "reel_trainer.run",
        spec,
        tmp_path,
        hear=lambda event, data: heard.append(event),
        look=lambda: None,
        processes=0,
    )
    assert heard.count("epoch") == 4
    said = json.loads((tmp_path / "out" / RESULT).read_text())
    assert said["precision"] == "fp16"
    assert torch.cuda.get_device_name() in said["device"]
    card = load_model_card(tmp_path / "out")
    assert card.metrics["all"].accuracy > 0.8
