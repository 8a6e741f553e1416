"""The child process: events and files when all is well, one clear line when not, and it stops when told or orphaned."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from reel_shared.manifest import Side, identity, to_bytes
from reel_shared.model_card import load_model_card
from reel_trainer.program import EXIT_FAILED, EXIT_STOPPED

STAGE = {"size": 48, "batch_size": 16, "frozen": True, "train_bn": False, "lr_max": 1e-2}


def spec(shapes, recipe, folder: Path, *, epochs: int = 1, manifest=None, **changes) -> Path:
    manifest = manifest or shapes.manifest()
    (folder / "manifest.json").write_bytes(to_bytes(manifest))
    for name in ("out", "scratch"):
        (folder / name).mkdir()
    facts = {
        "manifest": str(folder / "manifest.json"),
        "manifest_sha256": identity(manifest),
        "pictures": str(shapes.folder),
        "recipe": recipe(stages=[{"name": "h", "epochs": epochs, **STAGE}]).model_dump(),
        "weights": "package",
        "seed": 1,
        "out": str(folder / "out"),
        "scratch": str(folder / "scratch"),
        "model_id": "mdl_1",
        "dataset_version_id": "dsv_1",
        "threads": 1,
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(facts | changes))
    return path


def start(path: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "reel_trainer.run", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(path: Path) -> tuple[int, list[dict], str]:
    child = start(path)
    out, err = child.communicate(timeout=300)
    return child.returncode, [json.loads(line) for line in out.splitlines()], err


def test_end_to_end(shapes, recipe, tmp_path) -> None:
    code, events, err = finish(spec(shapes, recipe, tmp_path))
    assert code == 0, err
    names = [event["event"] for event in events]
    assert set(names) == {"progress", "curve", "epoch", "stage"}
    told = [words in err for words in ("torch 2", "h, epoch 1: training loss ", "the model is written")]
    assert all(told), err
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["precision"] == "fp32"
    assert [point["step"] for point in result["curve"]["h"]] == list(range(1, len(result["curve"]["h"]) + 1))
    assert load_model_card(tmp_path / "out").metrics["all"].accuracy == result["metrics"]["all"]["accuracy"]


def test_known_errors_are_one_line(shapes, recipe, tmp_path) -> None:
    code, events, err = finish(spec(shapes, recipe, tmp_path, weights=str(tmp_path / "gone.safetensors")))
    assert code == EXIT_FAILED, err
    assert [event["event"] for event in events] == ["error"]
    assert (events[0]["code"], events[0]["status"]) == ("unprocessable", 422)
    assert "gone.safetensors is not a readable safetensors file" in events[0]["detail"]
    assert f"error: {events[0]['detail']}" in err


def test_a_damaged_picture_is_told_before_any_is_decoded(shapes, recipe, tmp_path) -> None:
    folder = shutil.copytree(shapes.folder, tmp_path / "pictures")
    image = next(image for image in shapes.manifest().images if image.split == Side.TRAIN)
    (folder / image.sha256).write_bytes(b"no picture")
    code, events, err = finish(spec(shapes, recipe, tmp_path, pictures=str(folder)))
    assert code == EXIT_FAILED, err
    assert [event["event"] for event in events] == ["error"]
    assert f"1 of 192 pictures cannot be read: {image.id} (not-a-picture)" in events[0]["detail"]


def test_leaking_manifest_is_not_trained_on(shapes, recipe, tmp_path) -> None:
    manifest = shapes.manifest()
    held = next(image for image in manifest.on(Side.VALID) if image.scene)
    images = [i.model_copy(update={"split": Side.TRAIN}) if i is held else i for i in manifest.images]
    leaking = manifest.model_copy(update={"images": images})
    code, events, err = finish(spec(shapes, recipe, tmp_path, manifest=leaking))
    assert code == EXIT_FAILED, err
    assert "share 1 scene(s)" in events[0]["detail"]


def test_altered_manifest_and_bad_specs(shapes, recipe, tmp_path) -> None:
    code, events, _ = finish(spec(shapes, recipe, tmp_path, manifest_sha256="0" * 64))
    assert (code, events[0]["code"]) == (EXIT_FAILED, "corrupt-object")
    (tmp_path / "spec.json").write_text('{"seed": "x"}')
    code, events, _ = finish(tmp_path / "spec.json")
    assert code == EXIT_FAILED
    assert "specification is wrong" in events[0]["detail"]
    code, events, _ = finish(tmp_path / "none.json")
    assert code == EXIT_FAILED
    assert "cannot be read" in events[0]["detail"]


def first_progress(child: subprocess.Popen) -> None:
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["event"] == "progress"


def test_sigterm_stops_between_batches(shapes, recipe, tmp_path) -> None:
    child = start(spec(shapes, recipe, tmp_path, epochs=1000))
    first_progress(child)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == EXIT_STOPPED
    assert not (tmp_path / "out/result.json").exists()


def test_it_dies_with_its_parent(shapes, recipe, tmp_path) -> None:
    path = spec(shapes, recipe, tmp_path, epochs=1000)
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'reel_trainer.run', sys.argv[1]], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while _alive(orphan):
        assert time.monotonic() < deadline, "the training outlived its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
