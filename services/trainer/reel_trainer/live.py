"""A stage's figures while it runs: loss and rates by batch, speed, memory, time left. Called by ``training``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from reel_shared.contracts import CurvePoint
from reel_trainer.callbacks import EpochRow, Report, Telling
from reel_trainer.checkpoints import StageFigures
from reel_trainer.memory import in_use
from reel_trainer.recipe import Recipe, Stage

TELL_EVERY_SECONDS = 1.0
"""So often at most the losses are fetched from the device: to wait for each would hold the training up."""


def work(recipe: Recipe, stage: Stage, *, train: int, valid: int, epochs: int | None = None) -> float:
    """Return what a stage costs, in pixels that pass forward through the network; backward counts as two more."""
    once = stage.epochs if epochs is None else epochs
    return once * stage.size**2 * (train * passes(recipe, stage) + valid)


def passes(recipe: Recipe, stage: Stage) -> int:
    """Return how many forward passes a training step is worth.

    A frozen body that adapts its normalisation still needs the gradients that lead there, but none of its weights'.
    """
    if not stage.frozen:
        return 3
    return 2 if stage.train_bn else 1


def whole_stage(
    number: int, stage: str, points: Sequence[CurvePoint], rows: Sequence[EpochRow]
) -> dict[str, Any]:
    """Return the event that says all there is to say of a stage; what was said of it before no longer holds."""
    return {
        "number": number,
        "stage": stage,
        "fresh": True,
        "points": [point.model_dump() for point in points],
        "epochs": [dict(row) for row in rows],
    }


class LiveFigures(Telling):
    """Reports a ``curve`` event about once a second: the new points, and how the training stands."""

    order = 65  # behind the rows of the epochs, before the checkpoint that holds the curve

    def __init__(
        self,
        recipe: Recipe,
        number: int,
        figures: StageFigures,
        report: Report,
        *,
        train: int,
        valid: int,
        later: float,
        processes: int = 1,
    ) -> None:
        """``train`` and ``valid`` pictures pass in an epoch; ``later`` is the work of the stages that follow."""
        self.recipe, self.stage, self.number = recipe, recipe.stages[number], number
        self.figures, self.report = figures, report
        behind = len(figures.rows)
        self._left = later + work(
            recipe, self.stage, train=train, valid=valid, epochs=self.stage.epochs - behind
        )
        self._done = 0.0
        self._losses: list[torch.Tensor] = []
        self._rates: list[tuple[int, float, float | None]] = []
        self._told_points = len(figures.curve.points)
        self._images, self._window = 0, 0.0
        self._speed: float | None = None
        self._processes = processes

    def before_fit(self) -> None:
        curve = self.figures.curve
        self.tell("curve", whole_stage(self.number, self.stage.name, curve.points, self.figures.rows))
        self._began = self._told = time.perf_counter()

    def before_train(self) -> None:
        self._images, self._window = 0, time.perf_counter()

    def after_batch(self) -> None:
        count = len(self.yb[0])
        self._done += count * self.stage.size**2 * (passes(self.recipe, self.stage) if self.training else 1)
        if self.training:
            self._images += count
            hypers = self.opt.hypers[-1]
            self._losses.append(self.loss.detach())
            self._rates.append((self.epoch + 1, float(hypers["lr"]), hypers.get("mom")))
        if time.perf_counter() - self._told >= TELL_EVERY_SECONDS:
            self._tell_all()

    def after_train(self) -> None:
        self._tell_all()

    def _tell_all(self) -> None:
        """Fetch the losses that wait, and report what is new."""
        thinned = self._take_in()
        now = time.perf_counter()
        if self.training and self._images:
            self._speed = self._processes * self._images / (now - self._window)
            self._images, self._window = 0, now
        curve = self.figures.curve
        if thinned:
            event = whole_stage(self.number, self.stage.name, curve.points, self.figures.rows)
        else:
            new = [point.model_dump() for point in curve.points[self._told_points :]]
            event = {"number": self.number, "stage": self.stage.name, "fresh": False, "points": new}
        self._told_points, self._told = len(curve.points), now
        self.tell("curve", {**event, "now": self._now(now)})

    def _take_in(self) -> bool:
        if not self._losses:
            return False
        losses = torch.stack(self._losses).float().tolist()
        thinned = False
        for loss, (epoch, lr, momentum) in zip(losses, self._rates, strict=True):
            thinned |= self.figures.curve.add(loss, epoch=epoch, lr=lr, momentum=momentum)
        self._losses, self._rates = [], []
        return thinned

    def _now(self, now: float) -> dict[str, float | int | None]:
        pace = (now - self._began) / self._done
        return {
            "images_per_second": self._speed,
            "seconds_left": max(0.0, self._left - self._done) * pace,
            **in_use(self.dls.device),
        }
