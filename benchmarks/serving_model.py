"""The network and the pictures of the serving benchmark: a ResNet-50 with random weights that answers sanely.

Its batch-norm statistics are measured on the pictures and its logits scaled to a spread of `SPREAD`, so that answers
differ from picture to picture and a wrong one is noticed. Times are those of any trained ResNet-50.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torchvision.models.resnet import Bottleneck

from reel_networks import build, save_weights
from reel_networks.architectures import IMAGENET
from reel_shared.images import PREPROCESSING, open_picture, preprocess, to_jpeg
from reel_shared.model_card import CARD, GRAPH, WEIGHTS, ModelCard, facts_of
from reel_trainer.export import Serving, check_graph, write_graph

ARCHITECTURE, SIZE = "resnet50", 300
CLASSES = [f"class{number}" for number in range(10)]
SPREAD = 2.0
BRANCH_GAIN = 0.1
"""Of each residual branch; with 1 the errors of bf16 grow from block to block and drown a random network's answers."""
SMALL, LARGE = (700, 400), (1920, 1080)


def picture(seed: int, size: tuple[int, int]) -> bytes:
    """A JPEG of quality 90: colour clouds, shapes and grain, about as many bytes as a film frame has."""
    rng = np.random.default_rng(seed)
    width, height = size
    clouds = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 7):
        cells = rng.normal(0, 1, (2**octave, 2 ** (octave + 1), 3)).astype(np.float32)
        layers = [
            Image.fromarray(cells[..., channel]).resize(size, Image.Resampling.BICUBIC)
            for channel in range(3)
        ]
        clouds += np.dstack([np.asarray(layer) for layer in layers]) * 60 / octave
    clouds += rng.normal(128, 4, clouds.shape)
    image = Image.fromarray(np.clip(clouds, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        side, colour = int(rng.integers(height // 20, height // 3)), tuple(map(int, rng.integers(0, 256, 3)))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x) + side, int(y) + side), fill=colour)
    return to_jpeg(image, quality=90)


def write_pictures(folder: Path, size: tuple[int, int], count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{size[0]}x{size[1]}-{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            path.write_bytes(picture(number, size))
    return paths


def write_model(folder: Path, pictures: list[Path]) -> Path:
    """Write weights, graph and card as the trainer does, unless they are there; the graph is checked by its rule."""
    if (folder / CARD).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = build(ARCHITECTURE, len(CLASSES))
    for module in model.modules():
        if isinstance(module, Bottleneck):
            nn.init.constant_(module.bn3.weight, BRANCH_GAIN)
    samples = np.stack([preprocess(open_picture(path.read_bytes()), SIZE) for path in pictures])
    serving = Serving(model, *IMAGENET)
    _settle(serving, torch.from_numpy(samples))
    write_graph(serving, folder / GRAPH, size=SIZE)
    difference = check_graph(folder / GRAPH, serving, samples)
    save_weights(model, folder / WEIGHTS, architecture=ARCHITECTURE, stats=IMAGENET)
    card = ModelCard(
        id="mdl_serving_benchmark",
        architecture=ARCHITECTURE,
        classes=CLASSES,
        size=SIZE,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        preprocessing=PREPROCESSING,
        recipe={},
        dataset_version_id="dsv_benchmark",
        manifest_sha256="0" * 64,
        precision="fp32",
        held_out=True,
        graph_difference=difference,
        files={name: facts_of(folder / name) for name in (WEIGHTS, GRAPH)},
        created_at=datetime.now(UTC),
    )
    (folder / CARD).write_text(card.model_dump_json(indent=1))
    return folder


def _settle(serving: Serving, samples: torch.Tensor) -> None:
    """Measure batch-norm statistics on the pictures, then scale the last layer."""
    for layer in serving.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    dropouts = [layer for layer in serving.modules() if isinstance(layer, nn.Dropout)]
    with torch.no_grad():
        serving.train()
        for layer in dropouts:
            layer.eval()
        serving(samples)
        spread = serving.eval()(samples).std()
        last = serving.get_submodule("model.1.8")
        assert isinstance(last, nn.Linear)
        last.weight.mul_(SPREAD / spread)
    serving.requires_grad_(False)
