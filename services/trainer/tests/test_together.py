"""Two processes train one model: alike, every picture once, stopped and failed as one, and gone when they should be."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import torch
from safetensors.torch import load_file

from reel_shared.errors import ReelError
from reel_shared.manifest import identity, to_bytes
from reel_trainer import launch, nodes
from reel_trainer.child import follow
from reel_trainer.recipe import Recipe
from reel_trainer.run import RESULT, Spec

HERE = Path(__file__).parent
STAGES = [
    {"name": "h", "size": 32, "batch_size": 24, "frozen": True, "train_bn": False, "epochs": 1, "lr_max": 1e-2},
    {"name": "a", "size": 32, "batch_size": 24, "accumulate": 2, "frozen": False, "epochs": 2, "lr_max": 1e-3},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _programs(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def tiny(**changes) -> Recipe:
    facts = {"name": "tiny", "architecture": "efficientnet_lite0", "weights": "package"}
    return Recipe.model_validate(facts | changes)


def spec(shapes, folder: Path, **changes) -> Spec:
    manifest = shapes.manifest()
    (folder / "manifest.json").write_bytes(to_bytes(manifest))
    for name in ("out", "scratch", "kept"):
        (folder / name).mkdir()
    facts = {
        "manifest": folder / "manifest.json",
        "manifest_sha256": identity(manifest),
        "pictures": shapes.folder,
        "recipe": tiny(stages=changes.pop("stages", STAGES)),
        "weights": "package",
        "seed": 1,
        "out": folder / "out",
        "scratch": folder / "scratch",
        "checkpoints": folder / "kept",
        "model_id": "mdl_1",
        "dataset_version_id": "dsv_1",
        "threads": 1,
    }
    return Spec(**facts | changes)


def train(made: Spec, folder: Path, *, processes=2, look=lambda: None, hear=None):
    heard = []

    def note(event, data):
        heard.append((event, data))
        if hear:
            hear(event, data)

    ended = follow("trained_together", made, folder, hear=note, look=look, processes=processes)
    return ended, heard


def state(folder: Path, rank: int, *, weights=True) -> dict:
    found = load_file(folder / f"scratch/rank{rank}.safetensors")
    return {name: tensor for name, tensor in found.items() if name.startswith("epoch.") != weights}


def of_this_training(folder: Path) -> list[psutil.Process]:
    """Processes whose command names the folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if str(folder) in " ".join(process.cmdline()):
                found.append(process)
    return found


def none_left(folder: Path, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while left := of_this_training(folder):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


class Two(NamedTuple):
    """A training by two processes that was stopped after an epoch, and what went on from there by two others."""

    folders: tuple[Path, Path]
    heard: list[tuple[str, dict]]


@pytest.fixture(scope="module")
def two(shapes, tmp_path_factory):
    folders = tmp_path_factory.mktemp("stopped"), tmp_path_factory.mktemp("resumed")
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(HERE))
    wish = []
    ended, heard = train(
        spec(shapes, folders[0]),
        folders[0],
        look=lambda: signal.SIGUSR1 if wish else None,
        hear=lambda event, data: wish.append(event) if event == "epoch" else None,
    )
    assert not ended
    none_left(folders[0])
    last = max((folders[0] / "kept").iterdir())
    ended, after = train(spec(shapes, folders[1], resume=last), folders[1])
    patch.undo()
    assert ended
    none_left(folders[1])
    return Two(folders, [*heard, *after])


def test_both_end_with_the_same_weights(two) -> None:
    for folder in two.folders:
        first, second = state(folder, 0), state(folder, 1)
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
    told = json.loads((two.folders[1] / "out" / RESULT).read_text())
    assert told["device"] == "2 x cpu"
    assert [(s["batch_size"], s["accumulate"]) for s in told["stages"]] == [(24, 1), (24, 2)]
    assert told["metrics"]["all"]["accuracy"] == told["epochs"][-1]["accuracy"], "gathered as judged alone"
    assert told["metrics"]["all"]["log_loss"] == pytest.approx(told["epochs"][-1]["valid_loss"], rel=1e-5)


def test_each_epoch_sees_every_picture_once(two, shapes) -> None:
    pictures, epochs = len(shapes.manifest().on("train")), 0
    for folder in two.folders:
        first, second = (state(folder, rank, weights=False) for rank in (0, 1))
        for name, seen in first.items():
            update = 24 if (folder, name) == (two.folders[0], "epoch.0") else 48
            if len(seen) * 2 < pictures // update * update:
                continue  # the one that was stopped
            epochs += 1
            assert len(seen) == len(second[name])
            times = Counter(torch.cat([seen, second[name]]).tolist())
            assert set(times.values()) == {1}
            assert len(times) == pictures // update * update
    assert epochs == 3


def test_the_first_alone_speaks(two) -> None:
    assert [(data["stage"], data["epoch"]) for event, data in two.heard if event == "epoch"] == [
        ("h", 1), ("a", 1), ("a", 2),
    ]  # fmt: skip
    figures = {"progress", "epoch", "stage", "checkpoint", "curve"}
    assert {event for event, _ in two.heard} - {"log"} == figures, "what a library writes is told of both"
    done = [data["done"] for event, data in two.heard if event == "progress"]
    assert done == sorted(done)
    assert done[-1] == [data["total"] for event, data in two.heard if event == "progress"][-1]
    kept = [path.name for folder in two.folders for path in (folder / "kept").iterdir()]
    assert sorted(kept) == ["00-0001", "01-0001", "01-0002"]


LONG = [STAGES[0] | {"epochs": 1000}]


def test_a_process_that_dies_fails_the_training_in_one_sentence(shapes, tmp_path) -> None:
    killed = []

    def hear(event, data):
        if event == "epoch" and not killed:
            for process in of_this_training(tmp_path):
                if process.environ().get("RANK") == "1":
                    killed.append(time.monotonic())
                    process.kill()

    with pytest.raises(ReelError, match=r"One of the .*processes") as failed:
        train(spec(shapes, tmp_path, stages=LONG), tmp_path, hear=hear)
    assert len(killed) == 1
    assert "the worker's log has the story" in failed.value.detail
    assert time.monotonic() - killed[0] < 100, "long before an exchange gives up by itself"
    none_left(tmp_path)


PARENT = """
import sys
from pathlib import Path
from typing import NamedTuple
from reel_trainer.child import follow
from reel_trainer.run import Spec
spec = Spec.model_validate_json(Path(sys.argv[1]).read_text())
say = lambda event, data: print(event, flush=True)
follow("trained_together", spec, spec.out, hear=say, look=lambda: None, processes=2)
"""


def test_nothing_outlives_a_worker_that_is_killed(shapes, tmp_path) -> None:
    (tmp_path / "asked.json").write_text(spec(shapes, tmp_path, stages=LONG).model_dump_json())
    worker = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "asked.json")], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert next(line for line in worker.stdout if line != "log\n") == "progress\n"
    others = [process for process in of_this_training(tmp_path) if process.pid != worker.pid]
    assert len(others) == 3, "torchrun and two processes"
    worker.kill()
    worker.communicate(timeout=60)
    none_left(tmp_path)


def test_a_gpu_is_looked_for_before_torch_is_imported(tmp_path) -> None:
    assert not launch.may_be_several(0, tmp_path)
    assert not launch.may_be_several(1, tmp_path)
    assert launch.may_be_several(2, tmp_path)
    assert [launch.count(wished, tmp_path) for wished in (0, 1, 3)] == [1, 1, 3]
    (tmp_path / "nvidia0").touch()
    assert launch.may_be_several(0, tmp_path)
    assert not launch.may_be_several(1, tmp_path)
    assert launch.command(1, "m", "s") == [sys.executable, "-m", "m", "s"]


# --- several nodes ------------------------------------------------------------------------------------------


@pytest.fixture
def second(reel_database, monkeypatch, tmp_path) -> Iterator[subprocess.Popen[bytes]]:
    """This process becomes the first of two nodes, and the other one runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    facts = {
        "PET_NNODES": "2",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port),
        "PET_NPROC_PER_NODE": "auto",
    }
    for name, value in {
        **facts,
        "PET_NODE_RANK": "0",
        "PYTHONPATH": str(HERE),
        "GLOO_SOCKET_IFNAME": "lo",
    }.items():
        monkeypatch.setenv(name, value)
    with (tmp_path / "second.log").open("wb") as log:
        other = subprocess.Popen(
            [sys.executable, "-m", "reel_trainer.nodes"],
            env={**os.environ, "PET_NODE_RANK": "1"}, stdout=log, stderr=log,
        )  # fmt: skip
    yield other
    other.terminate()
    assert other.wait(20) == 0
    none_left(tmp_path)


def test_two_nodes_train_one_model(second, shapes, tmp_path) -> None:
    (tmp_path / "whole").mkdir()
    ended, heard = train(spec(shapes, tmp_path / "whole", stages=STAGES[:1]), tmp_path / "whole", processes=0)
    log = (tmp_path / "second.log").read_text()
    assert ended, log
    assert [data["epoch"] for event, data in heard if event == "epoch"] == [1]
    told = json.loads((tmp_path / "whole" / "out" / RESULT).read_text())
    assert told["device"] == "2 x cpu"
    first, other = state(tmp_path / "whole", 0), state(tmp_path / "whole", 1)
    assert first.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in first.items()), (
        "both have the same weights"
    )
    assert log.count("node.begins") == 1


def test_only_a_training_of_all_gpus_is_one_of_all_nodes(monkeypatch, tmp_path) -> None:
    assert (nodes.number(), nodes.rank()) == (1, 0)
    assert not launch.may_be_several(0, tmp_path)
    monkeypatch.setenv("PET_NNODES", "2")
    assert launch.may_be_several(0, tmp_path)
    assert not launch.may_be_several(1, tmp_path), "what one process does stays on the first node"
    assert launch.command(1, "m", "s", order="o")[3:] == ["--rdzv-id=o", "--nproc-per-node=1", "-m", "m", "s"]


def test_an_order_that_cannot_be_read_is_waited_for(reel_database, tmp_path) -> None:
    path = reel_database.data_dir / "nodes" / "order.json"
    path.parent.mkdir()
    path.write_text("{")
    stopping = threading.Event()
    thread = threading.Thread(target=nodes.take_orders, args=(stopping,))
    thread.start()
    time.sleep(0.7)
    assert thread.is_alive()
    stopping.set()
    thread.join(5)
    order = nodes.give_order(0, "reel_trainer.run", str(tmp_path / "spec.json"))
    assert nodes._order() == nodes.Order(
        id=order, processes=0, program="reel_trainer.run", spec=tmp_path / "spec.json"
    )
    assert [each.name for each in path.parent.iterdir()] == ["order.json"]
