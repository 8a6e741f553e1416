"""Explanations: reel_explainer against pytorch-grad-cam and captum, same network and pictures, in one run.

    python benchmarks/explain.py [--architecture resnet50] [--size 300] [--repeats 8] [--threads 2]

Weights are random, batch-norm statistics measured on the pictures: times are those of any trained network.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Callable

import torch
from captum.attr import GuidedBackprop, LayerGradCam
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from reel_explainer.guided import guided_gradients, run_guided
from reel_networks import build
from reel_networks.gradcam import gradcam, heat_maps, run_head

warnings.filterwarnings("ignore")
LABELS = [3, 5]


def network(architecture: str, x: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(0)
    model = build(architecture, 10)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.cat([x, x.flip(3), x.flip(2), x.transpose(2, 3)]))
    return model.eval().requires_grad_(False)


def ours_pair(model: nn.Sequential, x: torch.Tensor, labels: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    run = run_guided(model[0], model[1], x)
    return heat_maps(run_head(model[1], run.activation), labels), guided_gradients(run, labels)


def captum_pair(
    model: nn.Sequential, x: torch.Tensor, labels: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    heat = [captum_cam(model, x, label) for label in labels]
    guided = [GuidedBackprop(model).attribute(x.clone().requires_grad_(), target=i).detach() for i in labels]
    return torch.stack(heat, 1), torch.stack(guided, 1)


def captum_cam(model: nn.Sequential, x: torch.Tensor, label: int) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    heat = LayerGradCam(model, model[0]).attribute(leaf, target=label, relu_attributions=True)
    return heat[:, 0].detach()


def pgc_cam(model: nn.Sequential, x: torch.Tensor, label: int) -> object:
    with GradCAM(model=model, target_layers=[model[0]]) as cam:
        return cam(x.clone().requires_grad_(), [ClassifierOutputTarget(label)] * len(x))


def pgc_pair(model: nn.Sequential, x: torch.Tensor, labels: list[int]) -> object:
    guided = GuidedBackpropReLUModel(model=model, device=x.device)
    return [(pgc_cam(model, x, label), guided(x.clone(), target_category=label)) for label in labels]


def in_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Best milliseconds; the ways take turns, so that a busy moment of the machine falls on all."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:  # the first is for warming up
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: min(values) for name, values in times.items()}


def agreement(model: nn.Sequential, x: torch.Tensor) -> None:
    for name, ours, theirs in zip(
        ("Grad-CAM", "guided backprop"),
        ours_pair(model, x, LABELS),
        captum_pair(model, x, LABELS),
        strict=True,
    ):
        off = float((ours - theirs).abs().max() / theirs.abs().max())
        print(f"{name}: largest difference from captum {off:.1e} of the largest value")


def show(title: str, times: dict[str, float], ours: str, floor: str) -> None:
    print(f"\n{title}")
    for name, value in times.items():
        ratios = f"x{value / times[ours]:.2f} of ours, x{value / times[floor]:.2f} of the floor"
        print(f"  {name:34s} {value:8.1f} ms   {ratios}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    x = nn.functional.interpolate(
        torch.randn(1, 3, args.size // 10, args.size // 10), args.size, mode="bicubic"
    )
    model = network(args.architecture, x)
    agreement(model, x)
    # what the service runs; the others get the network as torchvision builds it
    served = copy.deepcopy(model).to(memory_format=torch.channels_last)
    xs = x.contiguous(memory_format=torch.channels_last)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model(x)

    def input_gradient() -> torch.Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(model(leaf)[:, LABELS[0]].sum(), leaf)[0]

    show("Grad-CAM, one label", in_turns({
        "forward alone": forward,
        "ours": lambda: gradcam(model[0], model[1], x, LABELS[:1]),
        "ours, channels last": lambda: gradcam(served[0], served[1], xs, LABELS[:1]),
        "captum": lambda: captum_cam(model, x, LABELS[0]),
        "pytorch-grad-cam": lambda: pgc_cam(model, x, LABELS[0]),
    }, args.repeats), "ours", "forward alone")  # fmt: skip
    for labels in (LABELS[:1], LABELS):
        show(f"Grad-CAM and guided backprop, {len(labels)} label(s)", in_turns({
            "plain input gradient, one label": input_gradient,
            "ours": lambda labels=labels: ours_pair(model, x, labels),
            "ours, channels last": lambda labels=labels: ours_pair(served, xs, labels),
            "captum": lambda labels=labels: captum_pair(model, x, labels),
            "pytorch-grad-cam": lambda labels=labels: pgc_pair(model, x, labels),
        }, args.repeats), "ours", "plain input gradient, one label")  # fmt: skip


if __name__ == "__main__":
    main()
