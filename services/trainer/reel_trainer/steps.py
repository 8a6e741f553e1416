"""How many pictures make one update of the weights, and in how many parts they pass; called by ``training``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fastai.callback.core import Callback, CancelBatchException
from fastai.callback.fp16 import MixedPrecision
from fastai.torch_core import set_seed

from reel_trainer.group import Group
from reel_trainer.recipe import SMALLEST_BATCH, Stage


class Step(NamedTuple):
    """One update of the weights: so many pictures, which pass through the network in so many parts."""

    pictures: int
    parts: int

    @classmethod
    def of(cls, stage: Stage, batch_size: int) -> Step:
        return cls(batch_size * stage.accumulate, stage.accumulate)

    @property
    def at_once(self) -> int:
        """How many pictures pass together, at most."""
        return -(-self.pictures // self.parts)

    def halved(self, processes: int = 1) -> Step | None:
        """Return the same update in twice as many parts; None when a part would be too small to train on."""
        smaller = Step(self.pictures, 2 * self.parts)
        return smaller if smaller.trains(processes) else None

    def trains(self, processes: int) -> bool:
        """Whether each of so many processes has pictures enough in each part."""
        return self.pictures // (self.parts * processes) >= SMALLEST_BATCH


class Together(Callback):  # type: ignore[misc]
    """Lets the parts of an update, and the shares of several processes in it, count as one batch.

    Each gradient counts by its pictures, and rates move once an update. fastai's GradientAccumulation sums alike, but
    lets the rates move on from part to part. The gradients of all processes are summed in one exchange an update.
    """

    order, run_valid = MixedPrecision.order - 4, False
    iter: int
    n_iter: int

    def __init__(self, step: Step, group: Group, seed: Sequence[int]) -> None:
        """``seed`` says which training and stage this is."""
        self.step, self.group, self.seed = step, group, seed

    @property
    def needed(self) -> bool:
        return self.step.parts > 1 or self.group.size > 1

    def before_train(self) -> None:
        if not self.group.first:
            # the first draws on, as it would alone; others draw what depends on nothing that a stop would lose
            set_seed(
                int(
                    np.random.SeedSequence([*self.seed, self.epoch, self.group.share.rank]).generate_state(1)[
                        0
                    ]
                )
            )

    def before_batch(self) -> None:
        updates = self.n_iter // self.step.parts
        self.learn.pct_train = (self.epoch + self.iter // self.step.parts / updates) / self.n_epoch

    def after_loss(self) -> None:
        count: Any = len(self.yb[0])
        self.learn.loss_grad = self.loss_grad * (count / self.step.pictures)

    def before_step(self) -> None:
        if (self.iter + 1) % self.step.parts:
            raise CancelBatchException  # no step, and the gradients stay
        self.group.sum(p.grad for p in self.model.parameters() if p.grad is not None)

    def after_train(self) -> None:
        self.group.average_statistics(self.model)
