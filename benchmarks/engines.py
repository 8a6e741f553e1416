"""ResNet-50 in each engine and precision: how soon a process is ready, what it holds in memory, how fast it is.

`python benchmarks/engines.py [--size 300] [--seconds 3] [--rounds 3]`; random weights, exported by
the trainer's own functions. Each row is a process of its own; rounds take turns, and medians are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from reel_shared.images import PREPROCESSING
from reel_shared.model_card import CARD, GRAPH, INT8_GRAPH, Agreement, ModelCard, facts_of

CLASSES = 10
WISHES = (("openvino", "f32"), ("openvino", "bf16"), ("openvino", "int8"), ("onnxruntime", "f32"))


def write_model(folder: Path, size: int) -> None:
    """Export as a training does; noise stands in for the pictures that int8 is calibrated on."""
    import torch

    from reel_networks import build
    from reel_trainer.export import Serving, write_graph
    from reel_trainer.quantizing import quantize

    torch.manual_seed(0)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    write_graph(Serving(build("resnet50", CLASSES).eval(), mean, std).eval(), folder / GRAPH, size=size)
    noise = np.random.default_rng(0).integers(0, 256, (16, size, size, 3), dtype=np.uint8)
    quantize(folder / GRAPH, folder / INT8_GRAPH, noise)
    measured = [
        Agreement(
            engine="openvino",
            precision=precision,
            pictures=0,
            same_answer=1,
            probability_difference=0,
            passed=True,
        )
        for precision in ("bf16", "int8")
    ]
    card = ModelCard(
        id="mdl_benchmark",
        architecture="resnet50",
        classes=[f"class{number}" for number in range(CLASSES)],
        size=size,
        mean=mean,
        std=std,
        preprocessing=PREPROCESSING,
        recipe={},
        dataset_version_id="none",
        manifest_sha256="0" * 64,
        precision="fp32",
        held_out=True,
        agreement=measured,
        files={name: facts_of(folder / name) for name in (GRAPH, INT8_GRAPH)},
        created_at=datetime.now(UTC),
    )
    (folder / CARD).write_text(card.model_dump_json())


def resident() -> int:
    """MiB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def serve_one(folder: Path, engine_name: str, precision: str, seconds: float) -> dict[str, float | str]:
    """What a serving process does from its start: import, load, warm up, answer."""
    began = time.perf_counter()
    from reel_inference.api import app
    from reel_inference.batching import Batcher
    from reel_inference.engine import load_engine

    app()
    imported = time.perf_counter()
    engine = load_engine(folder, engine=engine_name, precision=precision)  # type: ignore[arg-type]
    ready = time.perf_counter()
    found = {"engine": engine.name, "import": imported - began, "load": ready - imported}
    batcher = Batcher(lanes=engine.lanes, bound=256)
    picture = np.random.default_rng(1).integers(0, 256, (engine.size, engine.size, 3), dtype=np.uint8)
    for clients in (1, 8):
        answered, end = [0] * clients, time.perf_counter() + seconds

        def client(number: int, answered: list[int] = answered, end: float = end) -> None:
            while time.perf_counter() < end:
                batcher.submit(engine, picture).result()
                answered[number] += 1

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found[f"per_second_{clients}"] = sum(answered) / seconds
    batcher.close()
    found["memory"] = resident()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("FOLDER", "ENGINE", "PRECISION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, engine, precision = arguments.one
        print(json.dumps(serve_one(Path(folder), engine, precision, arguments.seconds)))
        return
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name), arguments.size)
        found: dict[tuple[str, str], list[dict[str, float]]] = {wish: [] for wish in WISHES}
        for _ in range(arguments.rounds):
            for wish in WISHES:
                command = [
                    sys.executable,
                    __file__,
                    "--one",
                    name,
                    *wish,
                    "--seconds",
                    str(arguments.seconds),
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[wish].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'':<18} {'import s':>8} {'load s':>7} {'MiB':>5} {'alone/s':>8} {'8 clients/s':>11}")
    for (engine, precision), rounds in found.items():
        shown = {
            key: statistics.median(each[key] for each in rounds)
            for key in ("import", "load", "memory", "per_second_1", "per_second_8")
        }
        print(
            f"{engine + ' ' + precision:<18} {shown['import']:>8.2f} {shown['load']:>7.2f} {shown['memory']:>5.0f}"
            f" {shown['per_second_1']:>8.1f} {shown['per_second_8']:>11.1f}"
        )


if __name__ == "__main__":
    main()
