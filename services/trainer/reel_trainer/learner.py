"""One stage of training on a fastai Learner, and the network it starts from; called by ``training``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import fastai.callback.schedule  # noqa: F401 - gives Learner its fit_one_cycle
import numpy as np
import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.learner import Learner
from torch import nn

from reel_networks import (
    InputStats,
    WeightsError,
    WeightsUnreachableError,
    build,
    input_stats,
    load_pretrained,
    parameter_groups,
)
from reel_shared.errors import Unavailable, Unprocessable
from reel_shared.manifest import ManifestImage
from reel_trainer.adam import FusedAdam
from reel_trainer.callbacks import DivergedError, FrozenBody
from reel_trainer.data import Loaders, PictureLoader
from reel_trainer.evaluation import Floats
from reel_trainer.folding import folded
from reel_trainer.precision import Precision, precision_callbacks
from reel_trainer.recipe import Recipe, Stage
from reel_trainer.steps import Together


class Network(NamedTuple):
    model: nn.Sequential
    stats: InputStats
    loaded: str
    """What the weights' source gave: ``nothing``, ``body`` or ``body and head``."""


def prepare_network(architecture: str, classes: int, weights: str | Path) -> Network:
    """Build the network and load ``weights``; Unprocessable or Unavailable says why they cannot be had."""
    model = build(architecture, classes)
    try:
        stats = input_stats(architecture, weights)
        return Network(model, stats, load_pretrained(model, architecture, weights))
    except WeightsUnreachableError as error:
        raise Unavailable(f"Training cannot start: {error}.") from error
    except WeightsError as error:
        raise Unprocessable(f"Training cannot start: {error}.") from error


def run_stage(
    model: nn.Sequential,
    recipe: Recipe,
    stage: Stage,
    loaders: Loaders,
    precision: Precision,
    callbacks: Sequence[Callback],
    *,
    together: Together,
    start_epoch: int = 0,
) -> None:
    """Train ``model`` in place through one stage: one cycle, with rates rising from early body to head.

    ``loaders`` give the parts of ``together``'s step. ``start_epoch`` epochs are behind it already: the cycle goes on
    where they end.

    Raises Unprocessable when the loss diverges, and what a report raised to stop it.
    """
    extra = [together] if together.needed else []
    together.group.start_alike(model)  # before anything is made of its weights
    learner = stage_learner(model, recipe, stage, loaders, precision, [*extra, *callbacks])
    cycle = stage.one_cycle or recipe.one_cycle
    rate = slice(*stage.lr_max) if isinstance(stage.lr_max, tuple) else stage.lr_max
    try:
        with _at_rest(model, stage), learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(
                stage.epochs,
                lr_max=rate,
                div=cycle.div,
                div_final=cycle.div_final,
                pct_start=cycle.pct_start,
                start_epoch=start_epoch,
            )
    except DivergedError as error:
        raise Unprocessable(
            f"Training diverged in stage {stage.name}: the loss is no number; lower its lr_max."
        ) from error
    stopped: Exception | None = getattr(learner, "stopped_by", None)
    if stopped is not None:
        raise stopped


def _at_rest(model: nn.Sequential, stage: Stage) -> AbstractContextManager[object]:
    """Make the most of a body that a stage leaves as it is, for as long as the context lasts."""
    if not stage.frozen or stage.train_bn:
        return nullcontext()
    return folded(model[0].eval())


def stage_learner(
    model: nn.Sequential,
    recipe: Recipe,
    stage: Stage,
    loaders: Loaders,
    precision: Precision,
    callbacks: Sequence[Callback],
) -> Any:
    """Return a fastai Learner on which a stage can be trained: loss, groups, precision, frozen or not."""
    learner = Learner(
        loaders,
        model,
        loss_func=nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing),
        opt_func=FusedAdam,
        splitter=parameter_groups,
        wd=recipe.weight_decay,
        train_bn=stage.train_bn,
        default_cbs=False,
        cbs=[TrainEvalCallback(), *precision_callbacks(precision, loaders.device), *callbacks],
    )
    # A gradient left from an unfrozen stage, even one of zeros, would let weight decay wear a frozen body away.
    model.zero_grad(set_to_none=True)
    if stage.frozen:
        learner.freeze()
        if not stage.train_bn:
            learner.add_cb(FrozenBody())
    else:
        learner.unfreeze()
    return learner


def predict(model: nn.Module, loader: PictureLoader) -> Floats:
    """Return float32 logits (pictures, classes) in the loader's order, in evaluation mode and full precision."""
    model.eval()
    parts: list[Any] = []
    with torch.inference_mode():
        for x, _ in loader:
            parts.append(model(x).float().cpu().numpy())
    logits: Floats = np.concatenate(parts)
    return logits


def rows_labels(rows: Sequence[ManifestImage], classes: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    numbers = {label: index for index, label in enumerate(classes)}
    return np.array([numbers[row.label] for row in rows], dtype=np.int64)
