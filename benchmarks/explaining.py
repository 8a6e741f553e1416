"""Explanations: reel_explainer beside captum, pytorch-grad-cam and the article's author's code, in one run.

    python benchmarks/explaining.py [--repeats 9] [--check] [--json FILE] [--end-to-end]

The same network and pictures for all; the ways take turns, so that a busy moment of the machine falls on each of them.
Weights are random, batch-norm statistics measured on pictures: times are those of any trained network. Outputs are
compared before a ratio is printed. ``--check`` exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import skimage.data
import torch
from explaining_peers import (
    author_cam,
    author_guided,
    captum_cam,
    captum_guided,
    pgc_cam,
    pgc_guided,
)
from torch import Tensor, nn

from reel_explainer.engine import FeatureEngine, has_bf16, load_engine
from reel_explainer.guided import guided_gradients, run_guided
from reel_explainer.model import ExplainableModel, frozen
from reel_networks import build
from reel_networks.architectures import IMAGENET
from reel_networks.gradcam import gradcam, heat_maps, normalise, run_head
from reel_shared.images import PREPROCESSING, preprocess
from reel_shared.model_card import ModelCard
from reel_trainer.export import Serving, write_graph

CLASSES = [f"class{number}" for number in range(10)]
LABEL = 3
Way = Callable[[int], object]
"""Given which picture."""


@dataclass
class Subject:
    """One network in the forms that the ways take, and the pictures."""

    plain: nn.Sequential
    """As torchvision lays it out; the peers', each in a copy of its own, for some leave other modules behind."""
    served: ExplainableModel
    squares: list[np.ndarray]
    inputs: list[Tensor]
    engines: dict[str, FeatureEngine]


def subject(architecture: str, size: int, folder: Path) -> Subject:
    torch.manual_seed(0)
    pictures = (
        skimage.data.astronaut(),
        skimage.data.chelsea(),
        skimage.data.coffee(),
        skimage.data.rocket(),
    )
    squares = [preprocess(picture, size) for picture in pictures]
    model = build(architecture, len(CLASSES))
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in IMAGENET)
    batch = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
    batch = (batch - mean) / std
    settle(model, torch.cat([batch, batch.flip(3)]))
    write_graph(Serving(copy.deepcopy(model), *IMAGENET).eval(), folder / "model.onnx", size=size)
    precisions = ["f32", *(["bf16"] if has_bf16() else [])]
    return Subject(
        plain=model,
        served=frozen(copy.deepcopy(model), card(architecture, size)),
        squares=squares,
        inputs=[batch[place : place + 1].contiguous() for place in range(len(squares))],
        engines={
            precision: load_engine(folder / "model.onnx", precision, threads=torch.get_num_threads())
            for precision in precisions
        },
    )


def settle(model: nn.Sequential, batch: Tensor) -> None:
    """Give batch norms the statistics of the pictures, so that activations are as those of a trained network."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        for _ in range(2):
            model.train()(batch)
    model.eval().requires_grad_(False)


def card(architecture: str, size: int) -> ModelCard:
    return ModelCard(
        id="mdl_benchmark", architecture=architecture, classes=CLASSES, size=size, mean=IMAGENET[0], std=IMAGENET[1],
        preprocessing=PREPROCESSING, recipe={}, dataset_version_id="none", manifest_sha256="0" * 64,
        precision="fp32", held_out=True, created_at=datetime.now(UTC),
    )  # fmt: skip


# --- the ways ---------------------------------------------------------------------------------------------


def cam_ways(made: Subject) -> dict[str, Way]:
    body, head = made.served.body, made.served.head
    peers = {name: copy.deepcopy(made.plain) for name in ("captum", "pytorch-grad-cam", "author")}

    def forward(place: int) -> Tensor:
        with torch.no_grad():
            return head(body(_channels_last(made.inputs[place])))

    def plain_forward(place: int) -> Tensor:
        with torch.no_grad():
            return made.plain(made.inputs[place])

    ways: dict[str, Way] = {
        "forward alone": forward,
        "forward alone, as torchvision lays it out": plain_forward,
        "ours": lambda place: gradcam(body, head, _channels_last(made.inputs[place]), [LABEL]),
        "captum": lambda place: captum_cam(peers["captum"], made.inputs[place], LABEL),
        "pytorch-grad-cam": lambda place: pgc_cam(peers["pytorch-grad-cam"], made.inputs[place], LABEL),
        "author": lambda place: author_cam(peers["author"], made.inputs[place], LABEL),
    }
    for precision, engine in made.engines.items():
        ways[f"ours, OpenVINO {precision}"] = lambda place, engine=engine: engine_cam(made, engine, place)
    return ways


def engine_cam(made: Subject, engine: FeatureEngine, place: int, label: int = LABEL) -> Tensor:
    run = run_head(made.served.head, engine.activation([made.squares[place]]))
    return heat_maps(run, [label])[:, 0]


def pair_ways(made: Subject) -> dict[str, Way]:
    peers = {name: copy.deepcopy(made.plain) for name in ("captum", "pytorch-grad-cam", "author")}

    def captum(place: int) -> object:
        x = made.inputs[place]
        return captum_cam(peers["captum"], x, LABEL), captum_guided(peers["captum"], x, LABEL)

    def pgc(place: int) -> object:
        x = made.inputs[place]
        return pgc_cam(peers["pytorch-grad-cam"], x, LABEL), pgc_guided(peers["pytorch-grad-cam"], x, LABEL)

    def author(place: int) -> object:
        x = made.inputs[place]
        return author_cam(peers["author"], x, LABEL), author_guided(peers["author"], x, LABEL)

    def input_gradient(place: int) -> Tensor:
        leaf = made.inputs[place].clone().requires_grad_()
        return torch.autograd.grad(made.plain(leaf)[:, LABEL].sum(), leaf)[0]

    return {
        "plain input gradient": input_gradient,
        "ours": lambda place: our_pair(made, place),
        "ours, bf16": lambda place: our_pair(made, place, torch.bfloat16),
        "captum": captum,
        "pytorch-grad-cam": pgc,
        "author": author,
    }


def our_pair(
    made: Subject, place: int, precision: torch.dtype = torch.float32, label: int = LABEL
) -> tuple[Tensor, Tensor]:
    x = _channels_last(made.inputs[place])
    run = run_guided(made.served.body, made.served.head, x, precision=precision)
    heat = heat_maps(run_head(made.served.head, run.activation), [label])
    return heat[:, 0], guided_gradients(run, [label])[:, 0]


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


# --- measuring --------------------------------------------------------------------------------------------


def in_turns(ways: dict[str, Way], repeats: int, pictures: int) -> dict[str, list[float]]:
    """Milliseconds of each repeat; one more comes first, to warm up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way(turn % pictures)
            if turn:
                times[name].append((time.perf_counter() - start) * 1000)
    return times


def show(title: str, times: dict[str, list[float]], repeats: int) -> dict[str, float]:
    print(f"\n{title}: milliseconds a picture, median of {repeats} (least to most); times ours")
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        spread = f"({min(times[name]):.1f} to {max(times[name]):.1f})"
        print(f"  {name:44s} {median:8.1f} {spread:>20s} {median / medians['ours']:6.2f}")
    return medians


def off(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the range."""
    return float((found - wanted).abs().max() / (wanted.max() - wanted.min()))


def agreements(made: Subject) -> dict[str, float]:
    """The largest difference for the predicted label over the pictures, relative to the range of the map."""
    worst: dict[str, float] = {}
    peer = copy.deepcopy(made.plain)
    for place, x in enumerate(made.inputs):
        with torch.no_grad():
            label = int(made.plain(x).argmax())
        heat, guided = our_pair(made, place, label=label)
        rough = our_pair(made, place, torch.bfloat16, label)
        found = {
            "Grad-CAM from captum": off(heat, captum_cam(peer, x, label)),
            "Grad-CAM from author": off(heat[0], author_cam(peer, x, label)),
            "Grad-CAM from pytorch-grad-cam": off(_drawn(heat, x), torch.from_numpy(pgc_cam(peer, x, label))),
            "guided from captum": off(guided, captum_guided(peer, x, label)),
            "guided from author": off(guided[0], author_guided(peer, x, label)),
            "Grad-CAM of the bf16 pair from f32": off(rough[0], heat),
            "guided of the bf16 pair from f32": off(rough[1], guided),
        }
        for precision, engine in made.engines.items():
            fast = engine_cam(made, engine, place, label)
            found[f"Grad-CAM by OpenVINO {precision} from torch"] = off(fast, heat)
        for name, value in found.items():
            worst[name] = max(worst.get(name, 0.0), value)
    return worst


def _drawn(heat: Tensor, x: Tensor) -> Tensor:
    """As pytorch-grad-cam scales: stretched, upscaled and stretched again."""
    large = nn.functional.interpolate(normalise(heat)[:, None], size=x.shape[-2:], mode="bilinear")
    return normalise(large[:, 0])


@dataclass
class Target:
    name: str
    found: float
    wanted: float
    least: bool = True

    @property
    def reached(self) -> bool:
        return self.found >= self.wanted if self.least else self.found <= self.wanted


def targets(cam: dict[str, float], pair: dict[str, float], apart: dict[str, float]) -> list[Target]:
    made = [
        Target("Grad-CAM over pytorch-grad-cam", cam["pytorch-grad-cam"] / cam["ours"], 3.0),
        Target("Grad-CAM over captum", cam["captum"] / cam["ours"], 1.1),
        Target("Grad-CAM of the forward alone", cam["ours"] / cam["forward alone"], 1.1, least=False),
        Target("pair over captum", pair["captum"] / pair["ours"], 1.25),
        Target("pair over pytorch-grad-cam", pair["pytorch-grad-cam"] / pair["ours"], 2.5),
        Target("pair over the author's code", pair["author"] / pair["ours"], 2.5),
        Target("difference from captum, Grad-CAM", apart["Grad-CAM from captum"], 1e-4, least=False),
    ]
    for name, value in cam.items():
        if name.startswith("ours, OpenVINO"):
            precision = name.rpartition(" ")[2]
            deviation = apart[f"Grad-CAM by OpenVINO {precision} from torch"]
            made.append(Target(f"deviation of OpenVINO {precision}", deviation, 0.02, least=False))
            if precision == "bf16":
                made.append(Target("Grad-CAM by OpenVINO bf16 over captum", cam["captum"] / value, 5.0))
    if "ours, OpenVINO bf16" in cam:  # a processor without bf16 only pretends
        made.append(Target("bf16 pair over captum", pair["captum"] / pair["ours, bf16"], 2.0))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--end-to-end", action="store_true", help="also submit to the embedded platform")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(args.threads)
    print(
        f"{processor()}, {args.threads} threads; {args.architecture} at {args.size} px, torch {torch.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        made = subject(args.architecture, args.size, Path(folder))
    apart = agreements(made)
    print("\nLargest difference over the pictures, relative to the map's range")
    for name, value in apart.items():
        print(f"  {name:44s} {value:9.1e}")
    cam = show("Grad-CAM", in_turns(cam_ways(made), args.repeats, len(made.inputs)), args.repeats)
    pair = show(
        "Grad-CAM and guided backpropagation",
        in_turns(pair_ways(made), args.repeats, len(made.inputs)),
        args.repeats,
    )
    wanted = targets(cam, pair, apart)
    waits: dict[str, float] = {}
    if args.end_to_end:
        from explaining_end_to_end import measure

        waits = measure(made.plain, card(args.architecture, args.size), rounds=max(20, args.repeats))
        print("\nSubmit to overlay on this machine, idle platform: median milliseconds")
        for name, value in waits.items():
            print(f"  {name:44s} {value:8.1f}")
        wanted.append(Target("Grad-CAM from submit to overlay, ms", waits["Grad-CAM"], 150, least=False))
    print("\nTargets")
    for one in wanted:
        sign = "at least" if one.least else "at most"
        print(
            f"  {'reached' if one.reached else 'MISSED ':7s} {one.name:44s} {one.found:9.4g}  {sign} {one.wanted:g}"
        )
    if args.json:
        figures = {
            "machine": processor(), "threads": args.threads, "architecture": args.architecture, "size": args.size,
            "gradcam_ms": cam, "pair_ms": pair, "differences": apart, "end_to_end_ms": waits,
            "targets": {one.name: {"found": one.found, "wanted": one.wanted, "reached": one.reached} for one in wanted},
        }  # fmt: skip
        args.json.write_text(json.dumps(figures, indent=1))
    if args.check and not all(one.reached for one in wanted):
        sys.exit(1)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return ", ".join(sorted(names)) or platform.processor()


if __name__ == "__main__":
    main()
