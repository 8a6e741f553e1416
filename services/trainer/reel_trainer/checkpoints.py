"""The state of a training between two epochs, as files without a pickle; called by ``training``.

A checkpoint is a folder: the network's weights and, within a stage, the optimizer's tensors as safetensors, the best
weights so far where they are kept, and ``checkpoint.json`` with all that is no tensor: place in the recipe, figures,
random states. With one loader process on a CPU a training that goes on from it ends with the same bits.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fastai.optimizer import Optimizer
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from reel_shared.contracts import CurvePoint, Model, StageResult
from reel_shared.errors import Corrupt
from reel_trainer.curves import Curve
from reel_trainer.memory import is_out_of_memory

STATE = "checkpoint.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
BEST = "best.safetensors"


class Figures(Model):
    """What a training has told so far."""

    stages: list[StageResult] = Field(default_factory=list)
    """Of finished stages."""
    epochs: list[dict[str, Any]] = Field(default_factory=list)
    """Rows of finished stages."""
    curve: dict[str, list[CurvePoint]] = Field(default_factory=dict)
    """Of finished stages, by name."""
    done: int = 0
    """Pictures that passed through the network."""
    seconds: float = 0.0
    notes: list[str] = Field(default_factory=list)
    """What to know before the figures are believed."""


class StageFigures(Model):
    """What the stage under way has told so far."""

    rows: list[dict[str, Any]] = Field(default_factory=list)
    curve: Curve = Field(default_factory=Curve)
    seconds: float = 0.0
    train_seconds: float = 0.0
    train_images: int = 0
    best_epoch: int = 0
    """1 for the first; 0 for none."""


class Checkpoint(Model):
    """Everything but tensors. ``epoch`` of ``stage`` (from 0) are finished; all of them when the stage is."""

    plan: str
    """Digest of what must be the same in the training that goes on."""
    stage: int
    epoch: int
    precision: str
    figures: Figures
    stage_figures: StageFigures
    random: dict[str, Any]
    loader: dict[str, Any]
    """Random state of the stage's training loader."""
    optimizer: list[dict[str, float | bool | int]] = Field(default_factory=list)
    """By parameter: what the optimizer remembers of it besides tensors."""
    scaler: dict[str, float | int | None] = Field(default_factory=dict)
    step: tuple[int, int] | None = None
    """Pictures and parts of an update in this stage; None for the recipe's."""


class Moment(NamedTuple):
    """A training between two epochs, as it lies in memory."""

    model: nn.Module
    optimizer: Optimizer | None
    """None when the stage is over: the next one has its own."""
    best: Mapping[str, torch.Tensor] | None
    loader: dict[str, Any]
    scaler: dict[str, Any]
    figures: StageFigures
    done: int


Keep = Callable[[Moment], Path | None]
"""Writes a checkpoint; returns the folder that is handed on, or None where none is wanted."""


def write(
    folder: Path,
    moment: Moment,
    *,
    plan: str,
    stage: int,
    precision: str,
    figures: Figures,
    step: tuple[int, int],
) -> Path:
    """Write a checkpoint into a new folder, which appears under its name only when it is whole."""
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True)
    save_file(_plain(moment.model.state_dict()), part / WEIGHTS)
    others: list[dict[str, Any]] = []
    if moment.optimizer is not None:
        tensors, others = _remembered(moment.optimizer)
        save_file(tensors, part / OPTIMIZER)
    if moment.best is not None:
        save_file(_plain(moment.best), part / BEST)
    state = Checkpoint(
        plan=plan,
        stage=stage,
        epoch=len(moment.figures.rows),
        precision=precision,
        figures=figures,
        stage_figures=moment.figures,
        random=random_state(),
        loader=moment.loader,
        optimizer=others,
        scaler=moment.scaler,
        step=step,
    )
    (part / STATE).write_text(state.model_dump_json())
    return part.rename(folder)


class Trail:
    """A training's newest checkpoint on local disk: where it goes on when its memory was too little.

    With ``handed`` a copy of each epoch's goes into that folder, for somebody who takes it away.
    """

    def __init__(self, folder: Path, *, handed: Path | None, newest: Path | None) -> None:
        self._folder, self._handed, self._own = folder, handed, False
        self.newest = newest

    def add(
        self,
        moment: Moment,
        *,
        hand_on: bool,
        plan: str,
        stage: int,
        precision: str,
        figures: Figures,
        step: tuple[int, int],
    ) -> Path | None:
        """Write a checkpoint in place of the last one; return the one handed on, or None."""
        if not self._own:
            shutil.rmtree(self._folder, ignore_errors=True)  # of a training before this one
        name = f"{stage:02}-{len(moment.figures.rows):04}"
        written = write(
            self._folder / name,
            moment,
            plan=plan,
            stage=stage,
            precision=precision,
            figures=figures,
            step=step,
        )
        if self._own and self.newest is not None:
            shutil.rmtree(self.newest)
        self.newest, self._own = written, True
        if self._handed is None or not hand_on:
            return None
        part = self._handed / f".{name}.part"
        # the same bytes under a second name: they last until both are gone
        shutil.copytree(written, part, copy_function=os.link)
        return part.rename(self._handed / name)


def load(folder: Path) -> Checkpoint:
    """Raises Corrupt."""
    try:
        return Checkpoint.model_validate_json((folder / STATE).read_bytes())
    except (OSError, ValidationError) as error:
        raise Corrupt("The training's checkpoint cannot be read; start the training anew.") from error


def load_weights(folder: Path, model: nn.Module) -> None:
    """Raises Corrupt, and what says that memory is too little."""
    try:
        model.load_state_dict(_read(folder / WEIGHTS))
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise Corrupt("The checkpoint's weights do not fit the network; start the training anew.") from error


def load_best(folder: Path) -> dict[str, torch.Tensor] | None:
    """Return the best weights of the stage, or None where none are kept. Raises Corrupt."""
    return _read(folder / BEST) if (folder / BEST).exists() else None


def load_optimizer(folder: Path, state: Checkpoint, optimizer: Optimizer) -> None:
    """Put back what the optimizer knew of each parameter. Raises Corrupt."""
    tensors = _read(folder / OPTIMIZER)
    parameters = [entry[0] for entry in optimizer.all_params()]
    if len(parameters) != len(state.optimizer):
        raise Corrupt("The checkpoint's optimizer does not fit the network; start the training anew.")
    for number, (parameter, known) in enumerate(zip(parameters, state.optimizer, strict=True)):
        kept: dict[str, Any] = dict(known)
        for name, tensor in tensors.items():
            place, _, entry = name.partition(".")
            if int(place) == number:
                # in the memory format of the parameter: other strides may run other kernels, whose last bits differ
                kept[entry] = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
        optimizer.state[parameter] = kept


def random_state() -> dict[str, Any]:
    """Return the state of every generator that a training draws from, but its loader's."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in cuda],
    }


def restore_random(state: Mapping[str, Any]) -> None:
    """Put back what ``random_state`` gave; generators of devices that are not here are left out."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all([torch.tensor(one, dtype=torch.uint8) for one in state["cuda"]])


def _remembered(optimizer: Optimizer) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    tensors: dict[str, torch.Tensor] = {}
    others: list[dict[str, Any]] = []
    for number, (_, _, state, _) in enumerate(optimizer.all_params()):
        others.append({name: value for name, value in state.items() if not torch.is_tensor(value)})
        tensors |= {f"{number}.{name}": value for name, value in state.items() if torch.is_tensor(value)}
    return _plain(tensors), others


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        found: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise Corrupt("The training's checkpoint cannot be read; start the training anew.") from error
    return found
