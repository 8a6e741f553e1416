"""The batches of each stage, from pictures decoded once a size; called by ``training``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from fastai.torch_core import set_seed

from reel_networks import InputStats
from reel_shared.manifest import ManifestImage
from reel_trainer.cache import Numbers, PictureCache, Pixels, build_cache
from reel_trainer.data import Loaders, Normalize, PictureLoader, augmentation
from reel_trainer.group import Group
from reel_trainer.learner import rows_labels
from reel_trainer.recipe import Recipe, Stage
from reel_trainer.rows import Rows
from reel_trainer.steps import Step
from reel_trainer.tta import ChangedViews

VALID_BATCH = 64
CALIBRATION = 256
"""Training pictures that the ranges of an int8 graph's activations are measured on."""

Tell = Callable[[str], None]
"""Hears in words what is being done; may raise."""


def roomy_side(recipe: Recipe, size: int) -> int:
    """Return the shorter side of decoded training pictures: room for zooming in without a loss."""
    return math.ceil(size * max(1.05, recipe.transforms.max_zoom))


@dataclass(frozen=True)
class Places:
    """``pictures`` holds files named by their SHA-256; ``scratch`` is room for decoded pictures."""

    pictures: Path
    scratch: Path


@dataclass
class Batches:
    """Makes loaders; what it decoded for one stage serves the next of the same size."""

    classes: list[str]
    recipe: Recipe
    places: Places
    rows: Rows
    stats: InputStats
    device: torch.device
    seed: int
    tell: Tell
    group: Group = field(default_factory=Group)
    _caches: dict[str, PictureCache] = field(default_factory=dict)

    def loaders(self, stage: Stage, number: int, step: Step) -> Loaders:
        """Return the batches of a stage; ``number``, its place in the recipe, sets the order of its pictures apart."""
        return Loaders(self._train(stage, number, step), self.valid(stage, step.at_once), self.device)

    def valid(self, stage: Stage, batch_size: int = VALID_BATCH) -> PictureLoader:
        """Return the validation pictures in their order, VALID_BATCH at once or more: no gradient holds them."""
        return PictureLoader(
            self._cache("valid", stage.size),
            rows_labels(self.rows.valid, self.classes),
            Normalize.of(self.stats, self.device),
            batch_size=max(VALID_BATCH, batch_size),
            share=self.group.share,
            device=self.device,
        )

    def _train(self, stage: Stage, number: int, step: Step) -> PictureLoader:
        change = augmentation(self.recipe.transforms, stage.size)
        cells = [(row.label, row.source.value) for row in self.rows.train]
        return PictureLoader(
            self._cache("train", roomy_side(self.recipe, stage.size)),
            rows_labels(self.rows.train, self.classes),
            Normalize.of(self.stats, self.device, augment=change),
            batch_size=step.pictures,
            parts=step.parts,
            share=self.group.share,
            device=self.device,
            rng=np.random.default_rng([self.seed, number]),
            cells=cells if self.recipe.sampling == "balanced" else None,
            web_share=self.recipe.web_share,
        )

    def judging(self, name: str, rows: list[ManifestImage]) -> PictureLoader:
        """Return batches of other pictures, as serving would see them at the last stage's size."""
        size = self.recipe.stages[-1].size
        cache = build_cache(
            rows,
            self.places.pictures,
            self.places.scratch / f"{name}.u8",
            side=size,
            roomy=False,
            tick=self._tick(name, len(rows), size),
        )
        return PictureLoader(
            cache,
            rows_labels(rows, self.classes),
            Normalize.of(self.stats, self.device),
            batch_size=VALID_BATCH,
            device=self.device,
        )

    def calibration(self) -> Pixels:
        """Return some training pictures as serving would see them, uint8 (n, size, size, 3); the same for a seed."""
        order = np.random.default_rng(self.seed).permutation(len(self.rows.train))
        rows = [self.rows.train[index] for index in sorted(order[:CALIBRATION].tolist())]
        return self.judging("calibration", rows).cache.squares(range(len(rows)))

    def changed(self, name: str, rows: list[ManifestImage], passes: int) -> ChangedViews:
        """Return views of pictures as the last stage's training would see them, the same for the same seed."""
        size = self.recipe.stages[-1].size
        roomy = roomy_side(self.recipe, size)
        cache = build_cache(
            rows,
            self.places.pictures,
            self.places.scratch / f"{name}-changed.u8",
            side=roomy,
            roomy=True,
            tick=self._tick(name, len(rows), roomy),
        )
        set_seed(self.seed)  # what the transforms draw from, whatever was drawn before
        return ChangedViews(
            cache,
            Normalize.of(self.stats, self.device, augment=augmentation(self.recipe.transforms, size)),
            batch_size=VALID_BATCH,
            device=self.device,
            rng=np.random.default_rng(self.seed),
            tick=self._tick_of_views(name, len(rows), passes),
        )

    def _tick_of_views(self, name: str, total: int, passes: int) -> Callable[[int], None]:
        def tick(done: int) -> None:
            if done % (4 * VALID_BATCH) == 0 or done == total:
                self.tell(f"looking at {name} pictures {passes} times more: {done} of {total}")

        return tick

    def _cache(self, side: str, size: int) -> PictureCache:
        held = self._caches.get(side)
        if held is not None and held.side == size:
            return held
        path = self.places.scratch / f"{side}.u8"
        rows = self.rows.train if side == "train" else self.rows.valid
        tick = self._tick(side, len(rows), size)

        def build() -> tuple[Numbers, Numbers]:
            path.unlink(missing_ok=True)  # the old file's pages live on for as long as it is mapped
            made = build_cache(rows, self.places.pictures, path, side=size, roomy=side == "train", tick=tick)
            return made.offsets, made.shapes

        self._caches[side] = PictureCache.opened(path, *self.group.from_first(build), size)
        return self._caches[side]

    def _tick(self, side: str, total: int, size: int) -> Callable[[int], None]:
        def tick(done: int) -> None:
            if done % 32 == 0 or done == total:
                self.tell(f"decoding {side} pictures for {size} px: {done} of {total}")

        return tick
