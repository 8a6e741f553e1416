"""Trainings: what is asked of the trainer and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from reel_shared.contracts.base import Finite, Model, StoredFile
from reel_shared.contracts.recipes import RecipeChoice


class TrainModelRequest(Model):
    """Trains, exports and registers one model."""

    dataset_version_id: str = Field(description="what is trained on")
    recipe: RecipeChoice = Field(
        default="article",
        description="the name of one that ships (`GET /v1/recipes` lists them), or a whole one as below, "
        "under a name of its own",
    )
    weights: str = Field(
        default="recipe",
        description="`recipe` (the recipe's), `none`, `package`, `torchvision`, `model:<id>` (body and head "
        "of a model of ours; `POST /v1/trainings/{job_id}/extend` sets it), or the key of a "
        "safetensors file in the bucket",
    )
    seed: int = Field(default=42, description="of everything random in the training")
    activate: bool = Field(
        default=False,
        description="serve the model when it is done, if its gates pass; else it becomes the `candidate` and "
        "`notes` say why",
    )
    allow_uncertified: bool = Field(
        default=False, description="train on a version that leaks all the same; the model says so for ever"
    )
    resume_from: str | None = Field(
        default=None,
        max_length=40,
        description="a training that failed or was stopped: go on from its last checkpoint; "
        "set by `POST /v1/trainings/{job_id}/resume`",
    )


class TrainingCheckpoint(Model):
    """Where a training can go on: so many epochs of a stage are finished."""

    stage: str
    epoch: int
    at: datetime
    files: dict[str, StoredFile]


class Metrics(Finite):
    accuracy: float
    images: int
    accuracy_interval: tuple[float, float] | None = Field(
        default=None, description="95 %, by drawing whole groups (scenes) anew; none with fewer than two"
    )
    macro_f1: float | None = Field(default=None, description="mean of the classes that occur")
    macro_f1_interval: tuple[float, float] | None = None
    top3_accuracy: float | None = None
    top3_accuracy_interval: tuple[float, float] | None = None
    log_loss: float | None = None
    log_loss_interval: tuple[float, float] | None = None
    calibration_error: float | None = Field(
        default=None, description="expected distance of confidence from accuracy, over ten bins of confidence"
    )
    per_class: dict[str, float] = Field(default_factory=dict)
    pictures_sha256: str | None = Field(
        default=None,
        description="digest of which pictures judged, under which labels: with the same one, figures compare",
    )


class CurvePoint(Model):
    """A place on a training's curve: the mean of a few batches that follow one another."""

    step: int = Field(description="batches of the stage so far")
    epoch: int = Field(description="1 for the first of the stage")
    lr: float = Field(description="the head's learning rate")
    momentum: float | None
    loss: float | None = Field(description="none: it was no number")


class StageResult(Model):
    name: str
    size: int
    batch_size: int = Field(
        description="pictures at a time: what auto found, or what was left after memory ran out"
    )
    accumulate: int = Field(default=1, description="batches to one update of the weights")
    epochs: int
    frozen: bool
    accuracy: float
    train_loss: float
    valid_loss: float
    seconds: float
    images_per_second: float
    kept_epoch: int | None = Field(
        default=None,
        description="the epoch whose weights the next stage began with; its figures are those above",
    )


class TrainModelResult(Model):
    model_id: str
    dataset_version_id: str
    recipe: str
    architecture: str
    precision: Literal["fp32", "fp16", "bf16"] = Field(description="the effective one")
    device: str
    stages: list[StageResult]
    metrics: dict[str, Metrics] = Field(
        description="all | movie | web | web:<style> -> metrics on validation originals; probe:<name> apart"
    )
    epochs: list[dict[str, float | str]] = Field(description="one row per epoch")
    curve: dict[str, list[CurvePoint]] = Field(
        default_factory=dict, description="stage -> loss and rates by batch, at most 300 points"
    )
    certified: bool = Field(default=True, description="whether the version it was trained on is")
    serves: bool = Field(default=False, description="it was to serve, and every gate let it pass")
    notes: list[str] = Field(default_factory=list, description="what to know before its metrics are believed")
    files: dict[str, StoredFile]
    seconds: float
