"""fastai callbacks: a row of figures per epoch, progress per batch, a body that is truly frozen, CPU bf16."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback, CancelFitException

from reel_shared.manifest import ManifestImage
from reel_trainer.evaluation import slices

Report = Callable[[str, dict[str, Any]], None]
"""Hears ("progress" | "epoch" | "stage", data); raising from it stops the training."""
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
    """Collects one row per epoch: losses, accuracy overall and per source, learning rate, pictures per second."""

    order = 60

    def __init__(self, stage: str, valid_rows: Sequence[ManifestImage], report: Report) -> None:
        self.stage, self.report = stage, report
        self.rows: list[EpochRow] = []
        self.train_seconds = 0.0
        self.train_images = 0
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
        if not self._images:
            raise ValueError("an epoch without a single batch")
        self._train_loss = float(self._loss) / self._images
        self._seconds = time.perf_counter() - self._began
        self.train_seconds += self._seconds
        self.train_images += self._images
        self._rate = self._images / self._seconds

    def after_validate(self) -> None:
        right = torch.cat(self._right).cpu().numpy().astype(np.float64)
        row: EpochRow = {
            "stage": self.stage,
            "epoch": len(self.rows) + 1,
            "train_loss": self._train_loss,
            "valid_loss": float(self._loss) / self._images,
            "accuracy": float(right.mean()),
            "lr": float(self.opt.hypers[-1]["lr"]),
            "images_per_second": self._rate,
        }
        row |= {
            f"accuracy_{name}": float(right[part].mean())
            for name, part in self._parts.items()
            if name != "all"
        }
        if not np.isfinite(float(row["train_loss"])):
            raise DivergedError(self.stage)
        self.rows.append(row)
        self.tell("epoch", dict(row))

    def _start(self) -> None:
        self._loss = torch.zeros((), device=self.dls.device)
        self._images = 0


class DivergedError(Exception):
    """The training loss is no number any more; the argument is the stage."""


class BatchProgress(Telling):
    """Reports every batch, trained or validated, as pictures done of pictures in all."""

    order = 70

    def __init__(self, stage: str, report: Report, *, done: int, total: int) -> None:
        self.stage, self.report, self.done, self.total = stage, report, done, total

    def after_batch(self) -> None:
        self.done += len(self.yb[0])
        self.tell(
            "progress", {"done": self.done, "total": self.total, "unit": "pictures", "stage": self.stage}
        )


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
