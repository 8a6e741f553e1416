"""Pictures per second: lanes and batches against one OpenVINO request behind a lock, on the same graph.

`python benchmarks/inference.py [--rounds 5] [--seconds 1] [--size 224] [--width 32]`; prints a table and the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

from reel_inference.batching import Batcher
from reel_inference.engine import load_engine
from reel_shared.cores import usable_cores
from reel_shared.images import PREPROCESSING
from reel_shared.model_card import GRAPH, ModelCard, facts_of

Ask = Callable[[np.ndarray], np.ndarray]
CLASSES = 10


def write_network(directory: Path, *, size: int, width: int) -> None:
    """Write a mobile-style network: five stages of two depthwise 3x3 and pointwise 1x1 pairs, each halving."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["pictures"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    weights, channels, last = [], 3, "x0"
    for layer in range(10):
        out = width * 2 ** (layer // 2)
        shapes = {"d": (channels, 1, 3, 3), "p": (out, channels, 1, 1)}
        for name, shape in shapes.items():
            kernel = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
            weights.append(numpy_helper.from_array(kernel, f"{name}{layer}w"))
        stride = [2 - layer % 2] * 2
        nodes += [
            helper.make_node(
                "Conv", [last, f"d{layer}w"], [f"d{layer}"], pads=[1] * 4, strides=stride, group=channels
            ),
            helper.make_node("Conv", [f"d{layer}", f"p{layer}w"], [f"p{layer}"]),
            helper.make_node("Relu", [f"p{layer}"], [f"r{layer}"]),
        ]
        channels, last = out, f"r{layer}"
    head = rng.normal(0, channels**-0.5, (channels, CLASSES)).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    pictures = helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["batch", size, size, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    graph = helper.make_graph(nodes, "network", [pictures], [logits], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10),
        directory / GRAPH,
    )
    card = ModelCard(
        id="mdl_benchmark",
        architecture="plain",
        classes=[f"class{number}" for number in range(CLASSES)],
        size=size,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        preprocessing=PREPROCESSING,
        recipe={},
        dataset_version_id="none",
        manifest_sha256="0" * 64,
        precision="fp32",
        held_out=True,
        files={GRAPH: facts_of(directory / GRAPH)},
        created_at=datetime.now(UTC),
    )
    (directory / "model.json").write_text(card.model_dump_json())


def locked(directory: Path, precision: str) -> Ask:
    """The usual way: one compiled model with default options, one picture at a time behind a lock."""
    core = openvino.Core()
    compiled = core.compile_model(directory / GRAPH, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    request, lock = compiled.create_infer_request(), threading.Lock()

    def ask(picture: np.ndarray) -> np.ndarray:
        with lock:
            return np.array(request.infer([picture[None]])[0][0])

    return ask


class Round(NamedTuple):
    per_second: float
    wait: float
    """Median, ms."""
    cpu: float
    """CPU time of one answer, ms: steadier than the clock when neighbours take the cores."""


def measure(ask: Ask, size: int, clients: int, seconds: float) -> Round:
    """Let so many clients ask in closed loops."""
    picture = np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)
    waits: list[float] = []
    end = time.perf_counter() + seconds

    def client() -> None:
        while (began := time.perf_counter()) < end:
            ask(picture)
            waits.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    return Round(len(waits) / took, 1000 * statistics.median(waits), 1000 * used / len(waits))


def compare(plain: Ask, lanes: Ask, *, size: int, clients: int, rounds: int, seconds: float) -> None:
    """Print one row: medians over rounds that take turns, so that a noisy neighbour strikes both alike."""
    pairs = [
        (measure(plain, size, clients, seconds), measure(lanes, size, clients, seconds))
        for _ in range(rounds)
    ]
    theirs, ours = (
        Round(*map(statistics.median, zip(*side, strict=True))) for side in zip(*pairs, strict=True)
    )
    ratio = statistics.median(second.per_second / first.per_second for first, second in pairs)
    print(
        f"{clients:>8} {theirs.per_second:>10.1f} {ours.per_second:>9.1f} {ratio:>6.2f}"
        f" {theirs.wait:>10.1f} {ours.wait:>9.1f} {theirs.cpu:>11.1f} {ours.cpu:>10.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_network(home, size=arguments.size, width=arguments.width)
        began = time.perf_counter()
        engine = load_engine(home, precision=arguments.precision)
        ready = time.perf_counter() - began
        batcher = Batcher(lanes=engine.lanes, bound=256)
        plain = locked(home, arguments.precision)

        def lanes(picture: np.ndarray) -> np.ndarray:
            return batcher.submit(engine, picture).result()

        sample = np.random.default_rng(2).integers(
            0, 256, (arguments.size, arguments.size, 3), dtype=np.uint8
        )
        gap = float(np.abs(lanes(sample) - plain(sample)).max())
        print(
            f"{usable_cores()} cores, {arguments.precision}, ready in {ready:.1f} s, answers differ by {gap:.1e}"
        )
        print(
            f"{'clients':>8} {'locked/s':>10} {'lanes/s':>9} {'ratio':>6} {'locked ms':>10} {'lanes ms':>9}"
            f" {'locked CPU':>11} {'lanes CPU':>10}"
        )
        for clients in (1, 8, 32):
            compare(
                plain,
                lanes,
                size=arguments.size,
                clients=clients,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
            )
        batcher.close()


if __name__ == "__main__":
    main()
