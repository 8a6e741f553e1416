"""fastai callbacks: figures and a checkpoint per epoch, progress per batch, a body that is truly frozen, CPU bf16."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback, CancelFitException

from reel_shared.manifest import ManifestImage
from reel_trainer import checkpoints
from reel_trainer.checkpoints import Checkpoint, Keep, Moment, StageFigures
from reel_trainer.evaluation import slices
from reel_trainer.group import Group, ShareDone
from reel_trainer.memory import in_use
from reel_trainer.recipe import Stage

Report = Callable[[str, dict[str, Any]], None]
"""Hears ("progress" | "curve" | "epoch" | "checkpoint" | "stage", data); raising from it stops the training."""
EpochRow = dict[str, float | str]


class Telling(Callback):  # type: ignore[misc]
    """Reports; what the report raises ends the fit in order and lies in ``learner.stopped_by``."""

    report: Report

    def tell(self, event: str, data: dict[str, Any]) -> None:
        try:
            self.report(event, data)
        except Exception as error:  # fastai would rewrite the message of any exception that passes through it
            self.learn.stopped_by = error
            raise CancelFitException from error


class EpochRows(Telling):
    """Collects one row per epoch: losses, accuracy overall and per source, rates, speed, time and memory."""

    order = 60
    _images: int

    def __init__(
        self,
        stage: str,
        valid_rows: Sequence[ManifestImage],
        report: Report,
        figures: StageFigures,
        *,
        group: Group,
    ) -> None:
        self.stage, self.report, self.figures, self.group = stage, report, figures, group
        self._parts = {name: part for name, part in slices(valid_rows).items() if ":" not in name}

    def before_train(self) -> None:
        self._start()
        self._began = time.perf_counter()

    def before_validate(self) -> None:
        self._start()
        self._right: list[torch.Tensor] = []

    def after_batch(self) -> None:
        count = len(self.yb[0])
        self._loss += self.loss.detach() * count
        self._images += count
        if not self.training:
            self._right.append(self.pred.detach().argmax(1) == self.yb[0])

    def after_train(self) -> None:
        self._together()
        if not self._images:
            raise ValueError("an epoch without a single batch")
        self._train_loss = float(self._loss) / self._images
        self._seconds = time.perf_counter() - self._began
        self.figures.train_seconds += self._seconds
        self.figures.train_images += self._images
        self._rate = self._images / self._seconds

    def after_validate(self) -> None:
        self._together()
        own = torch.cat([torch.zeros(0, dtype=torch.bool, device=self.dls.device), *self._right])
        right = np.concatenate(self.group.gather(own.cpu().numpy())).astype(np.float64)
        row: EpochRow = {
            "stage": self.stage,
            "epoch": len(self.figures.rows) + 1,
            "train_loss": self._train_loss,
            "valid_loss": float(self._loss) / self._images,
            "accuracy": float(right.mean()),
            "lr": float(self.opt.hypers[-1]["lr"]),
            "momentum": float(self.opt.hypers[-1]["mom"]),
            "images_per_second": self._rate,
            "seconds": time.perf_counter() - self._began,
            **in_use(self.dls.device),
        }
        row |= {
            f"accuracy_{name}": float(right[part].mean())
            for name, part in self._parts.items()
            if name != "all"
        }
        if not np.isfinite(float(row["train_loss"])):
            raise DivergedError(self.stage)
        self.figures.rows.append(row)
        self.tell("epoch", dict(row))

    def _together(self) -> None:
        """Count what the other processes saw too."""
        self.group.sum([self._loss])
        self._images = sum(self.group.gather(self._images))

    def _start(self) -> None:
        self._loss = torch.zeros((), device=self.dls.device)
        self._images = 0


class DivergedError(Exception):
    """The training loss is no number any more; the argument is the stage."""


class BatchProgress(Telling):
    """Reports every batch, trained or validated, as pictures done of pictures in all."""

    order = 70

    def __init__(self, stage: str, report: Report, *, done: int, total: int, processes: int = 1) -> None:
        self.stage, self.report, self.done, self.total = stage, report, done, total
        self.processes = processes

    def before_train(self) -> None:
        self._end = self.done + self.dls.train.images

    def before_validate(self) -> None:
        self._end = self.done + self.dls.valid.images

    def after_train(self) -> None:
        self.done = self._end

    def after_validate(self) -> None:
        self.done = self._end

    def after_batch(self) -> None:
        # shares differ by a picture; the pass as a whole is counted right
        self.done = min(self._end, self.done + len(self.yb[0]) * self.processes)
        self.tell(
            "progress", {"done": self.done, "total": self.total, "unit": "pictures", "stage": self.stage}
        )


class EpochKeeper(Telling):
    """Between two epochs: notes the best one, writes a checkpoint, ends the stage early; takes a checkpoint up."""

    order = 90  # behind the row of the epoch, and behind fastai's skipping of epochs

    def __init__(
        self,
        stage: Stage,
        figures: StageFigures,
        report: Report,
        *,
        folder: Path | None,
        held: Checkpoint | None,
        keep: Keep,
        group: Group,
    ) -> None:
        """``held`` is the checkpoint in ``folder`` that the stage goes on from; ``keep`` writes the next ones."""
        self.stage, self.figures, self.report = stage, figures, report
        self._folder, self._held, self._keep, self._group = folder, held, keep, group
        self._start = len(figures.rows)
        self._best = checkpoints.load_best(folder) if folder else None
        self._earlier = figures.seconds
        self._began = time.perf_counter()
        self.progress: BatchProgress | None = None

    def before_epoch(self) -> None:
        """All that fastai sets up for a fit is done now; nothing random is drawn between here and the first batch."""
        if self._held is None or self._folder is None or self.epoch != self._start:
            return
        if self._start:
            checkpoints.load_optimizer(self._folder, self._held, self.opt)
            self.dls.train.rng.bit_generator.state = self._held.loader
            if self._held.scaler and getattr(self.learn, "scaler", None) is not None:
                self.learn.scaler.load_state_dict(self._held.scaler)
        checkpoints.restore_random(self._held.random)

    def after_epoch(self) -> None:
        if self.epoch < self._start:
            return  # skipped
        self.figures.seconds = self._earlier + time.perf_counter() - self._began
        if self.stage.keep_best and self._is_best():
            self.figures.best_epoch = len(self.figures.rows)
            self._best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        over = is_over(self.stage, self.figures.rows)
        self._agree_to_go_on(over=over)
        if over and len(self.figures.rows) < self.stage.epochs:
            raise CancelFitException

    def after_fit(self) -> None:
        if not hasattr(self.learn, "stopped_by"):
            self.take_best(self.model)

    def take_best(self, model: torch.nn.Module) -> None:
        """Give the network the best epoch's weights, where those are kept."""
        if self.stage.keep_best and self._best is not None:
            model.load_state_dict(self._best)

    def _is_best(self) -> bool:
        *others, last = self.figures.rows
        return all(_rank(last) > _rank(row) for row in others)

    def _agree_to_go_on(self, *, over: bool) -> None:
        """Write a checkpoint in the first process; where that one is stopped at it, stop all."""
        stopped = False
        if self._group.first:
            try:
                self._checkpoint(over=over)
            except CancelFitException:
                stopped = True
        if self._group.any(stopped):
            if not stopped:
                self.learn.stopped_by = ShareDone()
            raise CancelFitException

    def _checkpoint(self, *, over: bool) -> None:
        scaler = getattr(self.learn, "scaler", None)
        moment = Moment(
            model=self.model,
            optimizer=None if over else self.opt,
            best=self._best,
            loader=self.dls.train.rng.bit_generator.state,
            scaler=scaler.state_dict() if scaler is not None else {},
            figures=self.figures,
            done=self.progress.done if self.progress else 0,
        )
        folder = self._keep(moment)
        if folder is not None:
            facts = {"stage": self.stage.name, "epoch": len(self.figures.rows), "folder": str(folder)}
            self.tell("checkpoint", facts)


def is_over(stage: Stage, rows: Sequence[EpochRow]) -> bool:
    """Whether a stage with these epochs behind it is done: all of them, or none better for ``patience`` of them."""
    if len(rows) >= stage.epochs:
        return True
    if stage.patience is None or not rows:
        return False
    best = max(range(len(rows)), key=lambda index: _rank(rows[index]))
    return len(rows) - 1 - best >= stage.patience


def _rank(row: EpochRow) -> tuple[float, float]:
    """Order epochs by accuracy, and those of one accuracy by loss."""
    return float(row["accuracy"]), -float(row["valid_loss"])


class FrozenBody(Callback):  # type: ignore[misc]
    """Keeps the body in evaluation mode: batch statistics and stochastic depth rest too, and no gradient runs."""

    order = 5

    def before_train(self) -> None:
        self.model[0].eval()


class CpuBf16(Callback):  # type: ignore[misc]
    """bf16 autocast on the CPU; fastai's own mixed precision always names CUDA and does nothing here."""

    order = 10

    def before_batch(self) -> None:
        self._autocast = torch.autocast("cpu", dtype=torch.bfloat16)
        self._autocast.__enter__()  # type: ignore[no-untyped-call]

    def after_pred(self) -> None:
        self.learn.pred = self.pred.float()

    def after_loss(self) -> None:
        self._autocast.__exit__(None, None, None)
