"""A whole training: every stage of a recipe on one dataset version, then its metrics; called by ``run``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.torch_core import set_seed

from reel_shared.contracts import Metrics, StageResult
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_trainer.cache import PictureCache, Pixels, build_cache
from reel_trainer.callbacks import BatchProgress, EpochRow, EpochRows, Report
from reel_trainer.data import Loaders, Normalize, PictureLoader, Rows, augmentation, choose_rows
from reel_trainer.evaluation import Floats, evaluate, evaluate_probes
from reel_trainer.learner import (
    Network,
    Precision,
    effective_precision,
    predict,
    prepare_network,
    rows_labels,
    run_stage,
)
from reel_trainer.recipe import Recipe, Stage

VALID_BATCH = 64


@dataclass(frozen=True)
class Places:
    """``pictures`` holds files named by their SHA-256; ``scratch`` is room for decoded pictures."""

    pictures: Path
    scratch: Path


@dataclass(frozen=True)
class Trained:
    """``logits`` are those of ``valid``, the validation pictures, at the last size, in fp32; ``samples`` the first."""

    network: Network
    precision: Precision
    device: str
    stages: list[StageResult]
    epochs: list[EpochRow]
    metrics: dict[str, Metrics]
    valid: list[ManifestImage]
    logits: Floats
    samples: Pixels
    seconds: float


def train_model(
    manifest: Manifest,
    recipe: Recipe,
    places: Places,
    *,
    weights: str | Path,
    seed: int,
    report: Report,
    device: torch.device | None = None,
) -> Trained:
    """Train through all stages and evaluate on the validation originals.

    ``weights`` is a source for ``reel_networks.load_pretrained``. Raises Unprocessable, Unavailable or Corrupt
    with the reason, and whatever ``report`` raises, which is how a training is stopped.
    """
    started = time.perf_counter()
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = choose_rows(manifest, recipe)
    precision = effective_precision(recipe, device)
    set_seed(seed, reproducible=device.type == "cpu")
    network = prepare_network(recipe.architecture, len(manifest.classes), weights)
    network.model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run(manifest.classes, recipe, places, rows, network, precision, device, report, seed)
    for stage in recipe.stages:
        run.stage(stage)
    loader = run.loaders(recipe.stages[-1]).valid
    logits = predict(network.model, loader)
    return Trained(
        network=network,
        precision=precision,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        stages=run.stages,
        epochs=run.epochs,
        metrics=evaluate(logits, rows.valid, manifest.classes) | run.judge_probes(manifest.on(Side.PROBE)),
        valid=rows.valid,
        logits=logits,
        samples=loader.cache.squares(range(min(VALID_BATCH, len(rows.valid)))),
        seconds=time.perf_counter() - started,
    )


@dataclass
class _Run:
    """What the stages of one training share."""

    classes: list[str]
    recipe: Recipe
    places: Places
    rows: Rows
    network: Network
    precision: Precision
    device: torch.device
    report: Report
    seed: int
    stages: list[StageResult] = field(default_factory=list)
    epochs: list[EpochRow] = field(default_factory=list)
    _caches: dict[str, PictureCache] = field(default_factory=dict)
    _done: int = 0

    def stage(self, stage: Stage) -> None:
        began = time.perf_counter()
        loaders = self.loaders(stage)
        table = EpochRows(stage.name, self.rows.valid, self.report)
        progress = BatchProgress(stage.name, self.report, done=self._done, total=self._total())
        run_stage(self.network.model, self.recipe, stage, loaders, self.precision, [table, progress])
        self._done = progress.done
        last = table.rows[-1]
        result = StageResult(
            name=stage.name,
            size=stage.size,
            batch_size=stage.batch_size,
            epochs=stage.epochs,
            frozen=stage.frozen,
            accuracy=float(last["accuracy"]),
            train_loss=float(last["train_loss"]),
            valid_loss=float(last["valid_loss"]),
            seconds=time.perf_counter() - began,
            images_per_second=table.train_images / table.train_seconds,
        )
        self.stages.append(result)
        self.epochs += table.rows
        self.report("stage", result.model_dump())

    def judge_probes(self, rows: list[ManifestImage]) -> dict[str, Metrics]:
        """Return metrics of the probe sets at the last stage's size; empty without any."""
        if not rows:
            return {}
        size = self.recipe.stages[-1].size
        path = self.places.scratch / "probe.u8"
        tick = self._tick("probe", len(rows), size)
        loader = PictureLoader(
            build_cache(rows, self.places.pictures, path, side=size, roomy=False, tick=tick),
            rows_labels(rows, self.classes),
            Normalize.of(self.network.stats, self.device),
            batch_size=VALID_BATCH,
            device=self.device,
        )
        return evaluate_probes(predict(self.network.model, loader), rows, self.classes)

    def loaders(self, stage: Stage) -> Loaders:
        """Return the stage's batches; pictures of a size that the stage before had are not decoded again."""
        roomy = math.ceil(stage.size * max(1.05, self.recipe.transforms.max_zoom))
        train, valid = self._cache("train", roomy), self._cache("valid", stage.size)
        stats = self.network.stats
        change = augmentation(self.recipe.transforms, stage.size)
        cells = [(row.label, row.source.value) for row in self.rows.train]
        return Loaders(
            PictureLoader(
                train,
                rows_labels(self.rows.train, self.classes),
                Normalize.of(stats, self.device, augment=change),
                batch_size=stage.batch_size,
                device=self.device,
                rng=np.random.default_rng([self.seed, len(self.stages)]),
                cells=cells if self.recipe.sampling == "balanced" else None,
                web_share=self.recipe.web_share,
            ),
            PictureLoader(
                valid,
                rows_labels(self.rows.valid, self.classes),
                Normalize.of(stats, self.device),
                batch_size=max(VALID_BATCH, stage.batch_size),
                device=self.device,
            ),
            self.device,
        )

    def _cache(self, side: str, size: int) -> PictureCache:
        held = self._caches.get(side)
        if held is not None and held.side == size:
            return held
        path = self.places.scratch / f"{side}.u8"
        path.unlink(missing_ok=True)  # the old file's pages live on for as long as it is mapped
        rows = self.rows.train if side == "train" else self.rows.valid
        tick = self._tick(side, len(rows), size)
        self._caches[side] = build_cache(
            rows, self.places.pictures, path, side=size, roomy=side == "train", tick=tick
        )
        return self._caches[side]

    def _tick(self, side: str, total: int, size: int) -> Callable[[int], None]:
        def tick(done: int) -> None:
            if done % 32 == 0 or done == total:
                message = f"decoding {side} pictures for {size} px: {done} of {total}"
                self._tell(message)

        return tick

    def _tell(self, message: str) -> None:
        data: dict[str, Any] = {"done": self._done, "total": self._total(), "unit": "pictures"}
        self.report("progress", data | {"message": message})

    def _total(self) -> int:
        """How many pictures pass through the network in all, trained or validated."""
        return sum(
            stage.epochs
            * (len(self.rows.train) // stage.batch_size * stage.batch_size + len(self.rows.valid))
            for stage in self.recipe.stages
        )
