"""Trains a few steps at rates that rise exponentially, to see which the network learns by; called by ``lr_run``.

The semantics are those of fastai's ``lr_find``; a test holds both to the same points. Unlike it, this writes no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from fastai.callback.core import CancelFitException, CancelValidException
from fastai.callback.schedule import minimum, steep, valley

from reel_shared.contracts.learning_rates import SweepPoint
from reel_trainer.callbacks import Report, Telling

BETA = 0.98
"""What a step leaves of the smoothed loss, which begins corrected for having no past."""
DIVERGED = 4.0
"""So many times its least, and the loss has gone."""
SKIPPED_END = 5
LEAST = 4
"""Points from which a rate can be told."""


class Sweep(Telling):
    """Sets the rate before each batch and notes the loss behind it; ends the fit when it has seen enough."""

    order = 60

    def __init__(self, start: float, end: float, steps: int, report: Report) -> None:
        self.start, self.end, self.steps, self.report = start, end, steps, report
        self.points: list[SweepPoint] = []
        self.diverged = False
        self._smooth = 0.0

    def before_batch(self) -> None:
        self._rate = self.start * (self.end / self.start) ** (self.train_iter / self.steps)
        self.opt.set_hyper("lr", self._rate)

    def after_batch(self) -> None:
        loss = float(self.loss.detach())
        if not math.isfinite(loss):
            self.diverged = True
            raise CancelFitException
        self._smooth = loss + BETA * (self._smooth - loss)
        smooth = self._smooth / (1 - BETA ** (len(self.points) + 1))
        self.points.append(SweepPoint(lr=self._rate, loss=smooth, raw_loss=loss))
        facts = {"done": len(self.points), "total": self.steps, "unit": "steps"}
        self.tell("progress", {**facts, "message": f"trying rate {self._rate:.1e}"})
        self.diverged = smooth > DIVERGED * min(point.loss for point in self.points)
        if self.diverged or len(self.points) >= self.steps:
            raise CancelFitException

    def before_validate(self) -> None:
        raise CancelValidException


def suggestions(points: Sequence[SweepPoint], steps: int) -> dict[str, float]:
    """Return fastai's suggestions by their names, of the points without the first tenth and the last five."""
    kept = points[steps // 10 : -SKIPPED_END]
    if len(kept) < LEAST:
        return {}
    rates: Any = torch.tensor([point.lr for point in kept])
    losses: Any = torch.tensor([point.loss for point in kept])
    return {
        "valley": float(valley(rates.tolist(), losses.tolist(), steps)[0]),
        "steep": float(steep(rates, losses, steps)[0]),
        "minimum": float(minimum(rates, losses, steps)[0]),
    }
