"""Exports of dataset versions, and how two of them differ: what is asked of the trainer and what it answers."""

from __future__ import annotations

from pydantic import Field

from reel_shared.contracts.base import Model, StoredFile


class ExportDatasetRequest(Model):
    """Packs a dataset version as a zip: `train/`, `valid/` and `probe-…/` with a folder a class, a
    Hugging Face `metadata.jsonl` in each, `images.csv` over train and valid (never the probes),
    `manifest.json`. The head of its `README.md` tells Hugging Face's `load_dataset("./folder")`
    which folder is which split, whatever the classes are called; a probe set is a configuration
    `probe-…` with the split `test`. A variant's row has the licence and the origin of its
    original."""

    dataset_version_id: str = Field(description="what is exported")
    pictures: bool = Field(default=True, description="false: the tables only, with each picture's address")
    variants: bool = Field(default=True, description="the variants that are trained on, too")


class ExportDatasetResult(Model):
    dataset_version_id: str
    images: dict[str, int] = Field(description="pictures by folder: train, valid, probe-<name>")
    archive: StoredFile = Field(
        description="zip: a folder a side with a folder a class and a metadata.jsonl, images.csv over train "
        "and valid, "
        "manifest.json"
    )


class MovedImage(Model):
    id: str
    before: str
    after: str


class VersionDiff(Model):
    """What differs from ``base`` to ``version``; lists are cut at 1,000 entries, counts are whole."""

    base: str
    version: str
    classes_added: list[str]
    classes_removed: list[str]
    counts: dict[str, int] = Field(description="added, removed, moved (to another side), relabelled, same")
    by_class: dict[str, dict[str, int]] = Field(
        description="class -> pictures in train and valid, before and after"
    )
    added: list[str] = Field(description="ids of originals")
    removed: list[str]
    moved: list[MovedImage]
    relabelled: list[MovedImage]
