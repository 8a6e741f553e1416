"""Dataset versions, models and recipes as the API shows them; called by ``api``."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from reel_shared.contracts import Metrics, SplitCertificate, StoredFile
from reel_shared.contracts.versions import PinSide
from reel_shared.db.models import DatasetVersion, SplitPin, TrainedModel
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


class ModelView(BaseModel):
    id: str
    active: bool = Field(description="whether this is the model that serves")
    architecture: str
    recipe: str
    classes: list[str]
    size: int = Field(description="side of the square picture that goes in, pixels")
    precision: str = Field(description="the effective one while training")
    held_out: bool = Field(description="false: trained on its validation pictures too; metrics prove nothing")
    certified: bool = Field(description="false: its dataset version leaks and was trained on all the same")
    notes: list[str] = Field(description="what to know before its metrics are believed")
    dataset_version_id: str
    metrics: dict[str, Metrics]
    files: dict[str, StoredFile]
    takedowns: list[str] = Field(description="take-downs of pictures that it was trained or judged on")
    job_id: str
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


def model_view(row: TrainedModel, *, active: str | None) -> dict[str, Any]:
    card = {name: row.card.get(name) for name in ("classes", "size", "precision", "held_out")}
    return {
        "id": row.id,
        "active": row.id == active,
        "architecture": row.architecture,
        "recipe": row.recipe,
        **card,
        "certified": row.card.get("certified", True),
        "notes": row.card.get("notes", []),
        "dataset_version_id": row.dataset_version_id,
        "metrics": row.metrics,
        "files": {name: with_urls(_file(file)) for name, file in row.files.items()},
        "takedowns": row.takedowns,
        "job_id": row.job_id,
        "created_at": timestamp(row.created_at),
    }


def pin_view(row: SplitPin) -> dict[str, Any]:
    shown = ("id", "dataset", "side", "movie_id", "scene", "start_seconds", "end_seconds", "image_id", "by")
    return {**{name: getattr(row, name) for name in shown}, "created_at": timestamp(row.created_at)}


def recipe_view(recipe: Recipe) -> dict[str, Any]:
    return {**recipe.model_dump(mode="json"), "total_epochs": recipe.epochs}


def _file(stored: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in stored.items() if name != "url"}
