"""Our training against a plain fastai script: same files, network, sizes, batches and epochs; pictures per second.

    python benchmarks/training.py --pictures 800 --epochs 2

Draws its own JPEG files (700 x 400, smooth noise), so it needs nothing but the workspace. The ratio is what counts.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from fastai.data.transforms import Normalize
from fastai.learner import Learner
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.data import ImageDataLoaders
from PIL import Image

from reel_networks import build, input_stats, load_pretrained, parameter_groups
from reel_shared.contracts import BuildDatasetVersionRequest
from reel_shared.manifest import Manifest, ManifestImage
from reel_trainer.batches import Places
from reel_trainer.recipe import Recipe
from reel_trainer.training import train_model
from reel_trainer.versions import build_dataset_version

ARCHITECTURE, CLASSES = "efficientnet_lite0", ("a", "b", "c", "d")


def draw(folder: Path, count: int) -> Manifest:
    rng, images = np.random.default_rng(0), []
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (20, 35, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        small.resize((700, 400), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        sha = hashlib.sha256(buffer.getvalue()).hexdigest()
        (folder / sha).write_bytes(buffer.getvalue())
        label = CLASSES[number % len(CLASSES)]
        facts = {"id": f"i{number}", "key": f"images/{sha}", "sha256": sha, "label": label, "source": "web"}
        phash = f"{rng.integers(2**63):016x}"
        images.append(ManifestImage.model_validate({**facts, "phash": phash, "width": 700, "height": 400}))
    return build_dataset_version(images, BuildDatasetVersionRequest(near_distance=0))[0]


def ours(manifest: Manifest, folder: Path, *, size: int, batch: int, epochs: int, frozen: bool) -> float:
    stage = {"name": "s", "size": size, "batch_size": batch, "frozen": frozen, "train_bn": False}
    stage |= {"epochs": epochs, "lr_max": 1e-3}
    recipe = Recipe(name="b", architecture=ARCHITECTURE, weights="package", stages=[stage])
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        places = Places(folder, Path(scratch))
        train_model(manifest, recipe, places, weights="package", seed=1, report=lambda event, data: None)
        return time.perf_counter() - began


def plain(manifest: Manifest, folder: Path, *, size: int, batch: int, epochs: int, frozen: bool) -> float:
    began = time.perf_counter()
    rows = [image for image in manifest.images if image.split != "excluded"]
    stats = input_stats(ARCHITECTURE, "package")
    loaders = ImageDataLoaders.from_lists(
        folder,
        [folder / image.sha256 for image in rows],
        [image.label for image in rows],
        valid_pct=0.2,
        seed=1,
        bs=batch,
        num_workers=2,
        item_tfms=Resize(size, method="crop"),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*stats)],
    )
    model = build(ARCHITECTURE, len(manifest.classes))
    load_pretrained(model, ARCHITECTURE, "package")
    learner = Learner(loaders, model, torch.nn.CrossEntropyLoss(), splitter=parameter_groups, train_bn=False)
    if frozen:
        learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, lr_max=1e-3)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    options = {"size": chosen.size, "batch": chosen.batch, "epochs": chosen.epochs}
    with tempfile.TemporaryDirectory() as folder:
        manifest = draw(Path(folder), chosen.pictures)
        seen = chosen.pictures * chosen.epochs
        for frozen in (True, False):
            times = {"ours": [], "plain fastai": []}
            for _ in range(chosen.rounds):  # in turns, so that a busy machine is unfair to neither
                times["ours"].append(ours(manifest, Path(folder), frozen=frozen, **options))
                times["plain fastai"].append(plain(manifest, Path(folder), frozen=frozen, **options))
            best = {name: min(values) for name, values in times.items()}
            state = "head only" if frozen else "all layers"
            rates = ", ".join(f"{name} {seen / seconds:.0f} pictures/s" for name, seconds in best.items())
            print(f"{state}: {rates}, ratio {best['plain fastai'] / best['ours']:.2f}")


if __name__ == "__main__":
    main()
