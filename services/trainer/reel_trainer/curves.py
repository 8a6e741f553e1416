"""Loss and rates by batch, thinned so that a stage of any length leaves a few hundred points; called by ``live``."""

from __future__ import annotations

import math

from pydantic import Field

from reel_shared.contracts import CurvePoint, Model

POINTS = 300
"""Most points of one stage. When they are reached every two become one, and later points take twice the batches."""


class Curve(Model):
    """The points of one stage and the batches that make none yet; a checkpoint holds it as it is."""

    every: int = 1
    """Batches to a point."""
    steps: int = 0
    """Batches so far."""
    points: list[CurvePoint] = Field(default_factory=list)
    total: float = 0.0
    """Of the losses since the last point."""
    batches: int = 0
    """How many those are."""

    def add(self, loss: float, *, epoch: int, lr: float, momentum: float | None) -> bool:
        """Take in one batch; True when the points before it have been thinned out."""
        self.steps += 1
        self.batches += 1
        self.total += loss
        if self.batches < self.every:
            return False
        mean = self.total / self.batches
        self.points.append(
            CurvePoint(
                step=self.steps,
                epoch=epoch,
                lr=lr,
                momentum=momentum,
                loss=mean if math.isfinite(mean) else None,
            )
        )
        self.total, self.batches = 0.0, 0
        if len(self.points) < POINTS:
            return False
        self._thin_out()
        return True

    def _thin_out(self) -> None:
        pairs = zip(self.points[::2], self.points[1::2], strict=True)
        self.points = [
            later.model_copy(update={"loss": _mean(earlier.loss, later.loss)}) for earlier, later in pairs
        ]
        self.every *= 2


def _mean(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else (one + other) / 2
