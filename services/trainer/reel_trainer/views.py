"""Dataset versions, models and recipes as the API shows them; called by ``api``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from reel_shared.contracts import ACTIVE, CurvePoint, Metrics, SplitCertificate, StoredFile
from reel_shared.contracts.versions import PinSide
from reel_shared.db.models import (
    AliasChange,
    DatasetVersion,
    Job,
    SplitPin,
    TrainedModel,
    TrainingMetrics,
)
from reel_shared.model_card import Agreement
from reel_shared.software import Software
from reel_shared.web.envelope import timestamp, with_urls
from reel_trainer.recipe import Recipe


class DatasetVersionView(BaseModel):
    id: str
    dataset: str
    classes: list[str]
    manifest: StoredFile
    images: dict[str, dict[str, dict[str, int]]] = Field(description="split -> source -> class -> images")
    left_out: dict[str, int] = Field(description="originals of the dataset that took no part, by state")
    excluded: dict[str, int] = Field(description="pictures that neither train nor judge, by reason")
    certificate: SplitCertificate
    certificate_file: StoredFile | None = Field(description="the whole certificate, signed by its hash")
    takedowns: list[str] = Field(description="take-downs of pictures that it holds")
    job_id: str
    created_at: AwareDatetime


class RemarkView(BaseModel):
    text: str
    by: str = Field(description="the API key that wrote it")
    at: AwareDatetime


class ForcedView(BaseModel):
    reason: str
    by: str = Field(description="the API key that overruled the gates")
    at: AwareDatetime
    gates: list[str] = Field(description="those that had failed")


class ModelView(BaseModel):
    id: str
    number: int = Field(description="its version among all models; `v7` stands for the id of number 7")
    active: bool = Field(description="whether this is the model that serves")
    aliases: list[str] = Field(description="what names it now: active, candidate, shadow")
    tags: list[str]
    remarks: list[RemarkView] = Field(description="what people noted about it, the oldest first")
    forced: ForcedView | None = Field(description="its last promotion against gates that had failed")
    architecture: str
    recipe: str
    classes: list[str]
    size: int = Field(description="side of the square picture that goes in, pixels")
    precision: str = Field(description="the effective one while training")
    held_out: bool = Field(description="false: trained on its validation pictures too; metrics prove nothing")
    certified: bool = Field(description="false: its dataset version leaks and was trained on all the same")
    notes: list[str] = Field(description="what to know before its metrics are believed")
    dataset_version_id: str
    manifest_sha256: str | None = Field(description="hash of the manifest that it was trained on")
    certificate_sha256: str | None = Field(description="hash of that version's leak certificate")
    weights: str | None = Field(description="what its training started from")
    software: Software = Field(description="what trained it: version, and commit of the checkout")
    graph_difference: float | None = Field(description="how far ONNX was from torch, of the largest logit")
    agreement: list[Agreement] = Field(
        description="how the engines that may serve it answer beside torch; empty for models from before that"
    )
    metrics: dict[str, Metrics]
    files: dict[str, StoredFile]
    takedowns: list[str] = Field(description="take-downs of pictures that it was trained or judged on")
    job_id: str
    created_at: AwareDatetime


class AliasChangeView(BaseModel):
    id: str
    alias: str
    action: str = Field(description="promote, roll-back, name or remove")
    from_model_id: str | None
    to_model_id: str | None
    by: str = Field(description="the API key that asked for it")
    reason: str
    failed_gates: list[str] = Field(description="gates that were overruled, or that made it the candidate")
    created_at: AwareDatetime


class SplitPinView(BaseModel):
    id: str
    dataset: str
    side: PinSide
    movie_id: str | None
    scene: int | None
    start_seconds: float | None
    end_seconds: float | None
    image_id: str | None
    by: str = Field(description="the API key that set it, or the job that imported it")
    created_at: AwareDatetime


class RemovedPins(BaseModel):
    removed: int


class RecipeView(Recipe):
    total_epochs: int


class StageMetricsView(BaseModel):
    stage: str
    points: list[CurvePoint] = Field(description="loss and rates by batch, thinned to at most 300 points")
    epochs: list[dict[str, float | str]] = Field(description="one row per epoch")


class TrainingNowView(BaseModel):
    images_per_second: float | None = Field(description="of the last seconds of training")
    seconds_left: float = Field(description="an estimate over all stages; an early end makes it less")
    memory: int = Field(description="bytes resident")
    gpu_memory: int | None = Field(default=None, description="bytes, the most that tensors took so far")


class TrainingMetricsView(BaseModel):
    job_id: str
    state: str
    stages: list[StageMetricsView]
    now: TrainingNowView | None = Field(description="as it was told last")
    updated_at: AwareDatetime | None


def version_view(row: DatasetVersion) -> dict[str, Any]:
    return {
        "id": row.id,
        "dataset": row.dataset,
        "classes": row.classes,
        "manifest": with_urls(_file(row.manifest)),
        "images": row.counts,
        "left_out": row.left_out,
        "excluded": row.excluded,
        "certificate": row.certificate,
        "certificate_file": with_urls(_file(row.certificate_file)) if row.certificate_file else None,
        "takedowns": row.takedowns,
        "job_id": row.job_id,
        "created_at": timestamp(row.created_at),
    }


_CARD = (
    *("classes", "size", "precision", "held_out", "manifest_sha256", "certificate_sha256", "weights"),
    "graph_difference",
)


def model_view(row: TrainedModel, *, aliases: Mapping[str, str]) -> dict[str, Any]:
    """``aliases`` says which model each alias names."""
    card = {name: row.card.get(name) for name in _CARD}
    return {
        "id": row.id,
        "number": row.number,
        "active": row.id == aliases.get(ACTIVE),
        "aliases": sorted(alias for alias, model_id in aliases.items() if model_id == row.id),
        "tags": row.tags,
        "remarks": row.remarks,
        "forced": row.forced,
        "architecture": row.architecture,
        "recipe": row.recipe,
        **card,
        "certified": row.card.get("certified", True),
        "software": row.card.get("software") or Software().model_dump(),
        "notes": row.card.get("notes", []),
        "agreement": row.card.get("agreement", []),
        "dataset_version_id": row.dataset_version_id,
        "metrics": row.metrics,
        "files": {name: with_urls(_file(file)) for name, file in row.files.items()},
        "takedowns": row.takedowns,
        "job_id": row.job_id,
        "created_at": timestamp(row.created_at),
    }


def change_view(row: AliasChange) -> dict[str, Any]:
    shown = ("id", "alias", "action", "from_model_id", "to_model_id", "by", "reason", "failed_gates")
    return {**{name: getattr(row, name) for name in shown}, "created_at": timestamp(row.created_at)}


def pin_view(row: SplitPin) -> dict[str, Any]:
    shown = ("id", "dataset", "side", "movie_id", "scene", "start_seconds", "end_seconds", "image_id", "by")
    return {**{name: getattr(row, name) for name in shown}, "created_at": timestamp(row.created_at)}


def recipe_view(recipe: Recipe) -> dict[str, Any]:
    return {**recipe.model_dump(mode="json"), "total_epochs": recipe.epochs}


def training_metrics_view(job: Job, rows: Sequence[TrainingMetrics]) -> dict[str, Any]:
    last = next((row for row in reversed(rows) if row.now), None)
    return {
        "job_id": job.id,
        "state": job.state,
        "stages": [{"stage": row.stage, "points": row.points, "epochs": row.epochs} for row in rows],
        "now": last.now if last else None,
        "updated_at": timestamp(last.updated_at) if last else None,
    }


def _file(stored: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in stored.items() if name != "url"}
