"""A whole training: every stage of a recipe on one dataset version, then its metrics; called by ``run``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from fastai.torch_core import set_seed

from reel_shared.contracts import Attention, CurvePoint, Metrics, StageResult
from reel_shared.errors import Unprocessable
from reel_shared.manifest import Manifest, ManifestImage
from reel_trainer import checkpoints, memory
from reel_trainer.answers import AllAnswers, ask
from reel_trainer.attention import look
from reel_trainer.batch_search import largest_batch
from reel_trainer.batches import VALID_BATCH, Batches, Places
from reel_trainer.cache import Pixels
from reel_trainer.callbacks import BatchProgress, EpochKeeper, EpochRow, EpochRows, Report, is_over
from reel_trainer.checkpoints import Checkpoint, Figures, StageFigures, Trail
from reel_trainer.evaluation import Floats
from reel_trainer.group import Group, PeerShortOfMemory, ShareDone
from reel_trainer.learner import Network, prepare_network, run_stage
from reel_trainer.live import LiveFigures, whole_stage, work
from reel_trainer.precision import Precision, effective_precision
from reel_trainer.recipe import SMALLEST_BATCH, Recipe, Stage
from reel_trainer.rows import Rows, choose_rows
from reel_trainer.steps import Step, Together


@dataclass(frozen=True)
class Trained:
    """``answers`` are given at the last size, in fp32; ``samples`` are the first validation pictures.

    ``calibration`` are training pictures as serving would see them, where the recipe wants an int8 graph.
    """

    network: Network
    precision: Precision
    device: str
    stages: list[StageResult]
    epochs: list[EpochRow]
    curve: dict[str, list[CurvePoint]]
    metrics: dict[str, Metrics]
    answers: AllAnswers
    samples: Pixels
    attention: Attention
    seconds: float
    notes: tuple[str, ...] = ()
    calibration: Pixels | None = None

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
    group: Group | None = None,
) -> Trained:
    """Train through all stages and evaluate on the validation originals.

    In a ``group`` of processes each does its share; the first returns what came of it, the others raise ShareDone.

    ``weights`` is a source for ``reel_networks.load_pretrained``. Raises Unprocessable, Unavailable or Corrupt
    with the reason, and whatever ``report`` raises, which is how a training is stopped.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = choose_rows(manifest, recipe)
    set_seed(seed, reproducible=device.type == "cpu")
    network = prepare_network(recipe.architecture, len(manifest.classes), weights)
    precision = effective_precision(recipe, device, network.model)
    network.model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run(recipe, network, precision, report, keeping, group or Group(), places.scratch, rows)
    run.batches = Batches(
        manifest.classes, recipe, places, rows, network.stats, device, seed, run.tell, run.group
    )
    held = run.go_on() if keeping and keeping.resume else None
    for stage in recipe.stages[len(run.figures.stages) :]:
        run.stage(stage, held)
        held = None
    run.group.leave()
    if not run.group.first:
        raise ShareDone
    run.batches.group = Group()
    loader = run.batches.valid(recipe.stages[-1])
    if recipe.train_on_validation:
        run.figures.notes.append(
            "Trained on its validation pictures too: nothing is left to measure a temperature or a threshold on, so "
            "they are the defaults."
        )
    answers = ask(network.model, run.batches, manifest, loader)
    run.tell("looking where the network looks")
    attention = look(
        network.model,
        loader.cache,
        loader.normalize,
        rows.valid,
        manifest.classes,
        trained={row.source for row in rows.train},
        seed=seed,
    )
    return Trained(
        network=network,
        precision=precision,
        device=_device_name(device, run.group.size),
        stages=run.figures.stages,
        epochs=run.figures.epochs,
        curve=run.figures.curve,
        metrics=answers.metrics(manifest.classes),
        answers=answers,
        samples=loader.cache.squares(range(min(VALID_BATCH, len(rows.valid)))),
        attention=attention,
        seconds=run.seconds,
        notes=(*run.figures.notes, *attention.alarms),
        calibration=run.batches.calibration() if recipe.int8_accuracy_loss is not None else None,
    )


def _device_name(device: torch.device, processes: int) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return f"{processes} x {name}" if processes > 1 else name


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
        group: Group,
        scratch: Path,
        rows: Rows,
    ) -> None:
        self.recipe, self.network, self.precision = recipe, network, precision
        self.report, self.keeping, self.group = report, keeping, group
        self.figures = Figures()
        self._updates = {stage.name: stage.least_update for stage in recipe.stages}
        self._trail = Trail(
            scratch / "epochs",
            handed=keeping.folder if keeping else None,
            newest=keeping.resume if keeping else None,
        )
        self._sides = len(rows.train), len(rows.valid)
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
        self._updates |= {stage.name: stage.batch_size * stage.accumulate for stage in held.figures.stages}
        if held.precision != self.precision:
            self.figures.notes.append(f"Began in {held.precision} and went on in {self.precision}.")
        checkpoints.load_weights(self.keeping.resume, self.network.model)
        checkpoints.restore_random(held.random)
        for number, (name, points) in enumerate(held.figures.curve.items()):
            rows = [row for row in held.figures.epochs if row["stage"] == name]
            self.report("curve", whole_stage(number, name, points, rows))
        self.tell(f"going on after epoch {held.epoch} of stage {self.recipe.stages[held.stage].name}")
        return held

    def stage(self, stage: Stage, held: Checkpoint | None = None) -> None:
        """Train a stage, or the rest of one that a checkpoint holds, and note what came of it."""
        number = len(self.figures.stages)
        step = Step(*held.step) if held and held.step else self._first_step(stage, number)
        if not step.trains(self.group.size):
            raise Unprocessable(
                f"A batch of stage {stage.name} has {step.at_once} pictures, too few for {self.group.size} processes; "
                "take larger batches or set REEL_TRAINER__PROCESSES to 1."
            )
        if held is None and self.group.first:
            self._keeper(number, step, hand_on=False)(self._beginning())
        while (figures := self._attempt(stage, number, step, held)) is None:
            memory.release()
            smaller = step.halved(self.group.size)
            if smaller is None:
                raise Unprocessable(
                    f"Stage {stage.name}: out of memory with {step.at_once} pictures of {stage.size} px at a time; "
                    "take smaller pictures, a smaller network or a machine with more memory."
                )
            held = self._back()
            self._note_smaller(stage, step, smaller, after=held.epoch)
            step = smaller
        self._finish(stage, step, figures)

    def _first_step(self, stage: Stage, number: int) -> Step:
        if stage.batch_size != "auto":
            return Step.of(stage, stage.batch_size)
        self.tell(f"stage {stage.name}: looking for the largest batch")
        loader = self.batches.loaders(stage, number, Step.of(stage, SMALLEST_BATCH)).train
        found = largest_batch(
            self.network.model, self.recipe, stage, loader, self.precision, group=self.group
        )
        self.figures.notes.append(f"Stage {stage.name}: batch_size auto came to {found}.")
        return Step.of(stage, found)

    def _note_smaller(self, stage: Stage, step: Step, smaller: Step, *, after: int) -> None:
        since = f"epoch {after}" if after else "its beginning"
        note = (
            f"Stage {stage.name}: out of memory at batch {step.at_once}; went on from {since} with "
            f"{smaller.at_once} and {smaller.parts} batches to one update."
        )
        self.figures.notes.append(note)
        self.tell(note)

    def _back(self) -> Checkpoint:
        """Return to the newest checkpoint, be it the stage's beginning."""
        self._trail.newest = self.group.from_first(lambda: self._trail.newest)
        assert self._trail.newest is not None
        held = checkpoints.load(self._trail.newest)
        checkpoints.load_weights(self._trail.newest, self.network.model)
        self.figures.done = held.figures.done
        return held

    def _attempt(self, stage: Stage, number: int, step: Step, held: Checkpoint | None) -> StageFigures | None:
        """Train a stage, or its rest, to its end; None when memory was too little."""
        figures = held.stage_figures if held else StageFigures()
        keeper = EpochKeeper(
            stage,
            figures,
            self.report,
            folder=self._trail.newest if held else None,
            held=held,
            keep=self._keeper(number, step),
            group=self.group,
        )
        if is_over(stage, figures.rows):
            self.report("curve", whole_stage(number, stage.name, figures.curve.points, figures.rows))
            keeper.take_best(self.network.model)
            return figures
        self._updates[stage.name] = step.pictures
        try:
            loaders = self.batches.loaders(stage, number, step)
            table = EpochRows(stage.name, self.batches.rows.valid, self.report, figures, group=self.group)
            progress = BatchProgress(
                stage.name,
                self.report,
                done=self.figures.done,
                total=self._total(),
                processes=self.group.size,
            )
            keeper.progress = progress
            live = self._live(number, figures, loaders.train.images)
            run_stage(
                self.network.model,
                self.recipe,
                stage,
                loaders,
                self.precision,
                [table, live, progress, keeper],
                together=Together(step, self.group, (self.batches.seed, number)),
                start_epoch=len(figures.rows),
            )
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            if not isinstance(error, PeerShortOfMemory):
                self.group.tell_short_of_memory()
            return None  # and with this frame the error goes, which holds the step's tensors
        self.figures.done = progress.done
        return figures

    def tell(self, message: str) -> None:
        self.report(
            "progress",
            {"done": self.figures.done, "total": self._total(), "unit": "pictures", "message": message},
        )

    def _finish(self, stage: Stage, step: Step, figures: StageFigures) -> None:
        kept = figures.best_epoch if stage.keep_best and figures.best_epoch else len(figures.rows)
        row = figures.rows[kept - 1]
        result = StageResult(
            name=stage.name,
            size=stage.size,
            batch_size=step.at_once,
            accumulate=step.parts,
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
        self.figures.curve[stage.name] = figures.curve.points
        self.report("stage", result.model_dump())

    def _live(self, number: int, figures: StageFigures, train: int) -> LiveFigures:
        _, valid = self._sides
        later = sum(
            work(self.recipe, stage, train=train, valid=valid) for stage in self.recipe.stages[number + 1 :]
        )
        return LiveFigures(
            self.recipe,
            number,
            figures,
            self.report,
            train=train,
            valid=valid,
            later=later,
            processes=self.group.size,
        )

    def _keeper(self, number: int, step: Step, *, hand_on: bool = True) -> checkpoints.Keep:
        def keep(moment: checkpoints.Moment) -> Path | None:
            told = self.figures.model_copy(update={"done": moment.done, "seconds": self.seconds})
            return self._trail.add(
                moment,
                hand_on=hand_on,
                plan=self.keeping.plan if self.keeping else "",
                stage=number,
                precision=self.precision,
                figures=told,
                step=step,
            )

        return keep

    def _beginning(self) -> checkpoints.Moment:
        """Return the moment before a stage."""
        return checkpoints.Moment(
            model=self.network.model,
            optimizer=None,
            best=None,
            loader={},
            scaler={},
            figures=StageFigures(),
            done=self.figures.done,
        )

    def _total(self) -> int:
        """How many pictures pass through the network in all, trained or validated."""
        train, valid = self._sides
        return sum(
            stage.epochs * (train // update * update + valid)
            for stage in self.recipe.stages
            for update in (self._updates[stage.name],)
        )
