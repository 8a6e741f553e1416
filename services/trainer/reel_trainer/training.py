"""A whole training: every stage of a recipe on one dataset version, then its metrics; called by ``run``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from fastai.torch_core import set_seed

from reel_shared.contracts import Attention, Metrics, StageResult
from reel_shared.errors import Unprocessable
from reel_shared.manifest import Manifest, ManifestImage
from reel_trainer import checkpoints
from reel_trainer.answers import AllAnswers, ask
from reel_trainer.attention import look
from reel_trainer.batches import VALID_BATCH, Batches, Places
from reel_trainer.cache import Pixels
from reel_trainer.callbacks import BatchProgress, EpochKeeper, EpochRow, EpochRows, Report, is_over
from reel_trainer.checkpoints import Checkpoint, Figures, StageFigures
from reel_trainer.data import choose_rows
from reel_trainer.evaluation import Floats
from reel_trainer.learner import (
    Network,
    Precision,
    effective_precision,
    prepare_network,
    run_stage,
)
from reel_trainer.recipe import Recipe, Stage


@dataclass(frozen=True)
class Trained:
    """``answers`` are given at the last size, in fp32; ``samples`` are the first validation pictures."""

    network: Network
    precision: Precision
    device: str
    stages: list[StageResult]
    epochs: list[EpochRow]
    metrics: dict[str, Metrics]
    answers: AllAnswers
    samples: Pixels
    attention: Attention
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def valid(self) -> list[ManifestImage]:
        return self.answers.valid.rows

    @property
    def logits(self) -> Floats:
        """Of ``valid``, (pictures, classes)."""
        return self.answers.valid.logits


@dataclass(frozen=True)
class Keeping:
    """Where a training is kept after each epoch, and where it goes on from."""

    folder: Path
    """Each checkpoint is a folder in it."""
    plan: str
    """Digest of recipe, dataset version, weights and seed: only the same training goes on."""
    resume: Path | None = None


def train_model(
    manifest: Manifest,
    recipe: Recipe,
    places: Places,
    *,
    weights: str | Path,
    seed: int,
    report: Report,
    device: torch.device | None = None,
    keeping: Keeping | None = None,
) -> Trained:
    """Train through all stages and evaluate on the validation originals.

    ``weights`` is a source for ``reel_networks.load_pretrained``. Raises Unprocessable, Unavailable or Corrupt
    with the reason, and whatever ``report`` raises, which is how a training is stopped.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = choose_rows(manifest, recipe)
    precision = effective_precision(recipe, device)
    set_seed(seed, reproducible=device.type == "cpu")
    network = prepare_network(recipe.architecture, len(manifest.classes), weights)
    network.model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run(recipe, network, precision, report, keeping, len(rows.train), len(rows.valid))
    run.batches = Batches(manifest.classes, recipe, places, rows, network.stats, device, seed, run.tell)
    held = run.go_on() if keeping and keeping.resume else None
    for stage in recipe.stages[len(run.figures.stages) :]:
        run.stage(stage, held)
        held = None
    loader = run.batches.loaders(recipe.stages[-1], len(recipe.stages) - 1).valid
    if recipe.train_on_validation:
        run.notes.append(
            "Trained on its validation pictures too: nothing is left to measure a temperature or a threshold on, so "
            "they are the defaults."
        )
    answers = ask(network.model, run.batches, manifest, loader)
    run.tell("looking where the network looks")
    attention = look(network.model, loader.cache, loader.normalize, rows.valid, manifest.classes, seed=seed)
    return Trained(
        network=network,
        precision=precision,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        stages=run.figures.stages,
        epochs=run.figures.epochs,
        metrics=answers.metrics(manifest.classes),
        answers=answers,
        samples=loader.cache.squares(range(min(VALID_BATCH, len(rows.valid)))),
        attention=attention,
        seconds=run.seconds,
        notes=(*run.notes, *attention.alarms),
    )


class _Run:
    """What the stages of one training share."""

    batches: Batches

    def __init__(
        self,
        recipe: Recipe,
        network: Network,
        precision: Precision,
        report: Report,
        keeping: Keeping | None,
        train: int,
        valid: int,
    ) -> None:
        self.recipe, self.network, self.precision = recipe, network, precision
        self.report, self.keeping = report, keeping
        self.figures = Figures()
        self.notes: list[str] = []
        self._sides = train, valid
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Of this process and of those before it, up to the checkpoint that this one went on from."""
        return self.figures.seconds + time.perf_counter() - self._began

    def go_on(self) -> Checkpoint:
        """Take up figures, weights and random states of a checkpoint. Raises Corrupt, Unprocessable."""
        assert self.keeping is not None
        assert self.keeping.resume is not None
        held = checkpoints.load(self.keeping.resume)
        if held.plan != self.keeping.plan:
            raise Unprocessable(
                "The checkpoint is of another training: its recipe, weights, seed or dataset version differ. "
                "Start the training anew."
            )
        self.figures = held.figures
        if held.precision != self.precision:
            self.notes.append(f"Began in {held.precision} and went on in {self.precision}.")
        checkpoints.load_weights(self.keeping.resume, self.network.model)
        checkpoints.restore_random(held.random)
        self.tell(f"going on after epoch {held.epoch} of stage {self.recipe.stages[held.stage].name}")
        return held

    def stage(self, stage: Stage, held: Checkpoint | None = None) -> None:
        """Train a stage, or the rest of one that a checkpoint holds, and note what came of it."""
        figures = held.stage_figures if held else StageFigures()
        number = len(self.figures.stages)
        keeper = EpochKeeper(
            stage,
            figures,
            self.report,
            folder=self.keeping.resume if held and self.keeping else None,
            held=held,
            keep=self._keeper(number) if self.keeping else None,
        )
        if is_over(stage, figures.rows):
            keeper.take_best(self.network.model)
        else:
            loaders = self.batches.loaders(stage, number)
            table = EpochRows(stage.name, self.batches.rows.valid, self.report, figures)
            progress = BatchProgress(stage.name, self.report, done=self.figures.done, total=self._total())
            keeper.progress = progress
            run_stage(
                self.network.model,
                self.recipe,
                stage,
                loaders,
                self.precision,
                [table, progress, keeper],
                start_epoch=len(figures.rows),
            )
            self.figures.done = progress.done
        self._finish(stage, figures)

    def tell(self, message: str) -> None:
        self.report(
            "progress",
            {"done": self.figures.done, "total": self._total(), "unit": "pictures", "message": message},
        )

    def _finish(self, stage: Stage, figures: StageFigures) -> None:
        kept = figures.best_epoch if stage.keep_best and figures.best_epoch else len(figures.rows)
        row = figures.rows[kept - 1]
        result = StageResult(
            name=stage.name,
            size=stage.size,
            batch_size=stage.batch_size,
            epochs=len(figures.rows),
            frozen=stage.frozen,
            accuracy=float(row["accuracy"]),
            train_loss=float(row["train_loss"]),
            valid_loss=float(row["valid_loss"]),
            seconds=figures.seconds,
            images_per_second=figures.train_images / figures.train_seconds,
            kept_epoch=kept,
        )
        self.figures.stages.append(result)
        self.figures.epochs += figures.rows
        self.report("stage", result.model_dump())

    def _keeper(self, number: int) -> checkpoints.Keep:
        assert self.keeping is not None
        folder, plan = self.keeping.folder, self.keeping.plan

        def keep(moment: checkpoints.Moment) -> Path:
            told = self.figures.model_copy(update={"done": moment.done, "seconds": self.seconds})
            return checkpoints.write(
                folder / f"{number:02}-{len(moment.figures.rows):04}",
                moment,
                plan=plan,
                stage=number,
                precision=self.precision,
                figures=told,
            )

        return keep

    def _total(self) -> int:
        """How many pictures pass through the network in all, trained or validated."""
        train, valid = self._sides
        return sum(
            stage.epochs * (train // stage.batch_size * stage.batch_size + valid)
            for stage in self.recipe.stages
        )
