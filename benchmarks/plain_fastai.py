"""The article's way to train, as a plain fastai script: image folders in, one line of JSON per epoch out.

    python benchmarks/plain_fastai.py FOLDER RECIPE.yaml --seed 1

FOLDER holds ``train/<class>/`` and ``valid/<class>/``. Nothing of the trainer runs here: fastai's own loaders decode
every file in every epoch, and its Learner goes from stage to stage. Only the network and the recipe's reader are
ours, so that ``training.py`` compares the same network, weights, sizes, batches, rates and epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision  # noqa: F401 - gives Learner its to_fp16
from fastai.data.transforms import Normalize
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.torch_core import set_seed
from fastai.vision.all import ImageDataLoaders, Learner, Resize, aug_transforms

from reel_networks import build, input_stats, load_pretrained, parameter_groups
from reel_trainer.recipe import Recipe, Stage, parse_recipe


class Lines(Callback):
    """Says after each epoch when it ended, by the same clock as the process that started this one."""

    order = 60

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def before_fit(self) -> None:
        self.seen, self.seconds = 0, 0.0

    def before_train(self) -> None:
        self.began = time.perf_counter()

    def after_batch(self) -> None:
        self.seen += len(self.yb[0]) if self.training else 0

    def after_train(self) -> None:
        self.seconds += time.perf_counter() - self.began

    def after_epoch(self) -> None:
        _train_loss, valid_loss, right = self.recorder.values[-1]
        figures = {"stage": self.stage, "at": time.time(), "valid_loss": valid_loss, "accuracy": right}
        rate = self.seen / self.seconds
        print(json.dumps(figures | {"images_per_second": rate}), flush=True)


def loaders(folder: Path, recipe: Recipe, stage: Stage, seed: int) -> ImageDataLoaders:
    stats, changes = input_stats(recipe.architecture, recipe.weights), recipe.transforms
    batch = aug_transforms(
        do_flip=changes.flip,
        max_rotate=changes.max_rotate,
        max_zoom=changes.max_zoom,
        max_lighting=changes.max_lighting,
        max_warp=changes.max_warp,
        p_affine=changes.p_affine,
        p_lighting=changes.p_lighting,
    )
    return ImageDataLoaders.from_folder(
        folder,
        train="train",
        valid="valid",
        seed=seed,
        bs=stage.batch_size,
        num_workers=len(os.sched_getaffinity(0)),
        item_tfms=Resize(stage.size, method="crop"),
        batch_tfms=[*batch, Normalize.from_stats(*stats)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    recipe = parse_recipe(chosen.recipe.read_text())
    set_seed(chosen.seed)
    data = loaders(chosen.folder, recipe, recipe.stages[0], chosen.seed)
    network = build(recipe.architecture, len(data.vocab))
    load_pretrained(network, recipe.architecture, recipe.weights)
    for number, stage in enumerate(recipe.stages):
        if number and stage.size != recipe.stages[number - 1].size:
            data = loaders(chosen.folder, recipe, stage, chosen.seed)
        learner = Learner(
            data,
            network,
            CrossEntropyLossFlat(),
            splitter=parameter_groups,
            metrics=accuracy,
            wd=recipe.weight_decay,
            train_bn=stage.train_bn,
            cbs=Lines(stage.name),
        )
        if recipe.precision == "fp16":
            learner.to_fp16()
        train = learner.freeze if stage.frozen else learner.unfreeze
        train()
        rate = slice(*stage.lr_max) if isinstance(stage.lr_max, tuple) else stage.lr_max
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(stage.epochs, lr_max=rate)


if __name__ == "__main__":
    main()
