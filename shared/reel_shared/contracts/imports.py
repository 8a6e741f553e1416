"""Datasets that others made, and our own exports, coming back: what is asked of ingest and what it answers."""

from __future__ import annotations

from pydantic import Field

from reel_shared.contracts.base import Counts, DatasetName, Model, ObjectKey
from reel_shared.contracts.quality import QualityChecks
from reel_shared.contracts.web_pictures import Style


class ImportDatasetRequest(Model):
    """Reads a zip of pictures into a dataset: an export of `trainer.export_dataset`, folders, or a
    table. With `augment`, `augment.make_variants` of its web pictures follows as a job of its own
    (`parent_id`)."""

    dataset: DatasetName = Field(default="default", description="pictures are gathered under this name")
    key: ObjectKey = Field(description="the zip in the bucket, or a form's `file`")
    style: Style = Field(default="imported", description="of pictures whose table names none")
    licence: str = Field(default="", max_length=100, description="of pictures whose table names none")
    attribution: str = Field(default="", max_length=500, description="of pictures whose table names none")
    keep_sides: bool = Field(
        default=True, description="pin every picture to the side that it comes from, for the next versions"
    )
    recheck: bool = Field(
        default=False,
        description="judge the pictures of a Reelsight export for quality and near copies of each other once "
        "more; those of other archives always are",
    )
    near_distance: int = Field(
        default=6, ge=0, le=16, description="pHash bits within which it is a duplicate"
    )
    quality_checks: QualityChecks = Field(
        default_factory=QualityChecks, description="thresholds of the checks on each picture; null is off"
    )
    augment: bool = Field(default=True, description="make the six variants of the web pictures afterwards")


class ImportDatasetResult(Model):
    own_export: bool = Field(description="whether it was an export of a Reelsight")
    collection_id: str | None = Field(description="of the web pictures; null when none of them is new")
    movie_ids: list[str] = Field(description="of the frames")
    counts: Counts = Field(
        description="refused as `already-there` is what the dataset holds under this class"
    )
    classes: dict[str, int] = Field(description="pictures kept, by class")
    sides: dict[str, int] = Field(
        description="pictures kept, by where they lay: train, valid, probe-<name>, or empty for nowhere"
    )
    pins: int = Field(description="pins that hold the sides: one a scene, or one a picture without a scene")
    variants_left_out: int = Field(description="variants are not taken, but made again")
    licences: dict[str, int] = Field(default_factory=dict)
    renamed: dict[str, str] = Field(
        default_factory=dict,
        description="classes by their name here, where that differs: name -> name before",
    )
    notes: list[str] = Field(default_factory=list, description="what a person should know of it")
