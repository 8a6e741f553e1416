"""Finds the largest batch that fits into memory, by training steps that change nothing; called by ``training``."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from fastai.callback.core import Callback
from torch import nn

from reel_shared.errors import Unprocessable
from reel_trainer import memory
from reel_trainer.checkpoints import random_state, restore_random
from reel_trainer.data import Batch, Loaders, PictureLoader
from reel_trainer.group import Group
from reel_trainer.learner import run_stage
from reel_trainer.precision import Precision
from reel_trainer.recipe import SMALLEST_BATCH, Recipe, Stage
from reel_trainer.steps import Step, Together

LARGEST = 256
UPDATES = 8
"""An epoch of fewer updates learns little, however well its batches fit."""
TRIAL = 8
"""Pictures whose memory is measured on a CPU, where a larger trial would take minutes."""
PART_OF_FREE = 0.5
"""A CPU's memory is not ours alone, and what takes too much of it is killed without a word."""


def batch_bound(pictures: int, accumulate: int, processes: int = 1) -> int:
    """Return the largest power of two that ``auto`` may mean for so many training pictures."""
    most = max(SMALLEST_BATCH * processes, min(LARGEST, pictures // (UPDATES * accumulate)))
    return 1 << (most.bit_length() - 1)


def largest_batch(
    model: nn.Sequential,
    recipe: Recipe,
    stage: Stage,
    loader: PictureLoader,
    precision: Precision,
    *,
    group: Group,
) -> int:
    """Return the largest power of two up to ``batch_bound`` that one step of this stage has memory for.

    Network and random states are afterwards as they were. Raises Unprocessable when not even two pictures fit.
    """
    bound = batch_bound(len(loader.cache), stage.accumulate, group.size)
    before = random_state()
    trial = _Trial(model, recipe, stage, loader, precision)
    search = _by_trying if loader.device.type == "cuda" else _by_measuring
    try:
        found = min(group.gather(search(trial, bound, group.size)))
    finally:
        restore_random(before)
        memory.release()
    if found < SMALLEST_BATCH * group.size:
        raise Unprocessable(
            f"Stage {stage.name} has memory for less than {SMALLEST_BATCH} pictures of {stage.size} px; take smaller "
            "pictures, a smaller network or a machine with more memory."
        )
    return found


def _by_trying(trial: _Trial, bound: int, processes: int) -> int:
    """Return the largest batch that fits, or 0."""
    while bound >= SMALLEST_BATCH * processes:
        if trial(-(-bound // processes)) is not None:
            return bound
        bound //= 2
    return 0


def _by_measuring(trial: _Trial, bound: int, processes: int) -> int:
    """Return the largest batch that ought to fit, going by the memory of a small one, or 0."""
    count = max(SMALLEST_BATCH, min(bound // processes, TRIAL))
    trial(SMALLEST_BATCH)  # what is set up once and then kept is no picture's
    taken = trial(count)
    budget = PART_OF_FREE * memory.available() / processes
    if taken is None:
        return 0
    while bound and taken / count * -(-bound // processes) > budget:
        bound //= 2
    return bound


class _Trial:
    """One step of a stage on a copy of the network and on black pictures."""

    def __init__(
        self,
        model: nn.Sequential,
        recipe: Recipe,
        stage: Stage,
        loader: PictureLoader,
        precision: Precision,
    ) -> None:
        self.stage = stage.model_copy(update={"epochs": 1})
        self._model, self._recipe, self._loader, self._precision = model, recipe, loader, precision

    def __call__(self, pictures: int) -> int | None:
        """Return by how many bytes the process grew until the loss was there; None when memory was too little."""
        memory.release()
        growth = _Growth()
        try:
            device = self._loader.device
            train: Any = _One(self._loader, pictures)
            nothing: Any = ()
            run_stage(
                copy.deepcopy(self._model),
                self._recipe,
                self.stage,
                Loaders(train, nothing, device),
                self._precision,
                [growth],
                together=Together(Step(pictures, 1), Group(), ()),
            )
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            return None
        return growth.bytes


class _One(Sequence[Batch]):
    """A single batch, made as the loader makes its own."""

    def __init__(self, loader: PictureLoader, pictures: int) -> None:
        self._loader, self._pictures = loader, pictures

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        if index:
            raise IndexError
        side, device = self._loader.cache.side, self._loader.device
        black = torch.zeros(self._pictures, side, side, 3, dtype=torch.uint8, device=device)
        labels = torch.zeros(self._pictures, dtype=torch.int64, device=device)
        return self._loader.normalize(black), labels


class _Growth(Callback):  # type: ignore[misc]
    """Memory of the process between the first batch's making and its loss, when all activations are held."""

    bytes = 0

    def before_train(self) -> None:
        self._before = memory.resident()

    def after_loss(self) -> None:
        self.bytes = memory.resident() - self._before
