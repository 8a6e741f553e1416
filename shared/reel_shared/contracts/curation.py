"""What people decide about pictures: changes of state and label, conflicts, marks of subjects, take-downs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reel_shared.contracts.base import DatasetName, Label, Model, Source, StoredFile

MAX_IMAGES = 10_000
"""Pictures that one request may name."""

SettableState = Literal["active", "rejected", "quarantined", "duplicate"]
"""What a person may set; ``removed`` comes of a take-down only, and nothing leads out of it."""
Mark = Literal["keep", "background"]


class ImageFilter(Model):
    """Original pictures of one dataset for which everything that is set holds."""

    dataset: DatasetName
    label: Label | None = None
    source: Source | None = None
    style: str | None = Field(default=None, max_length=40)
    state: SettableState | None = None
    state_reason: str | None = Field(default=None, max_length=64)
    duplicate_of: str | None = Field(default=None, max_length=40)
    probe: str | None = Field(default=None, max_length=64)
    movie_id: str | None = Field(default=None, max_length=40)
    scene: int | None = Field(default=None, ge=0)
    collection_id: str | None = Field(default=None, max_length=40)


class ImageSetting(Model):
    """What is set on a picture; what is left out stays as it is."""

    state: SettableState | None = None
    label: Label | None = None
    duplicate_of: str | None = Field(
        default=None, max_length=40, description="with the state `duplicate`: what the pictures repeat"
    )

    @model_validator(mode="after")
    def _says_something(self) -> ImageSetting:
        if self.state is None and self.label is None:
            raise ValueError("set a state, a label, or both")
        if (self.state == "duplicate") != (self.duplicate_of is not None):
            raise ValueError("the state 'duplicate' and 'duplicate_of' go together")
        return self


class ChangeImagesRequest(Model):
    """Originals, named or found by a filter. Variants follow their original: see ``ImageState``."""

    image_ids: list[str] | None = Field(default=None, min_length=1, max_length=MAX_IMAGES)
    filter: ImageFilter | None = None
    set: ImageSetting
    reason: str = Field(
        default="", max_length=64, description="why; `person` unless said, empty for active pictures"
    )
    force: bool = Field(default=False, description="relabel frames of a film too")

    @model_validator(mode="after")
    def _one_choice(self) -> ChangeImagesRequest:
        if (self.image_ids is None) == (self.filter is None):
            raise ValueError("name pictures by 'image_ids' or by 'filter', and not by both")
        return self


class ImageBatch(Model):
    """What one action changed. ``batch_id`` undoes it."""

    batch_id: str
    changed: int = Field(description="pictures")
    unchanged: int = Field(description="pictures that were so already")
    skipped: int = Field(default=0, description="pictures that have been changed again since: left alone")


class ResolveConflictRequest(Model):
    """The picture in the path is right and stays, what it contradicts goes."""

    label: Label | None = Field(default=None, description="the right label, when it has none of the two")
    others: Literal["duplicate", "rejected"] = "duplicate"
    force: bool = Field(default=False, description="relabel a frame of a film too")


class MarkImageRequest(Model):
    mark: Mark


class MarkImagesRequest(MarkImageRequest):
    image_ids: list[str] = Field(min_length=1, max_length=MAX_IMAGES)


class RankSubjectsRequest(Model):
    """Learns from frames marked `keep` and `background` which others show background only.
    Precision is measured on marks of scenes that were held out; with fewer than 30 and 15 marks, or
    where they do not bear it out, `enough` is false: there is a list to look at, and nothing is
    rejected."""

    dataset: DatasetName = Field(default="default", description="pictures are gathered under this name")
    label: Label | None = Field(default=None, description="only this class")
    movie_id: str | None = Field(default=None, max_length=40, description="only this film")
    precision: float = Field(
        default=0.95, ge=0.5, lt=1, description="wanted share of backgrounds among the proposals"
    )
    apply: bool = Field(
        default=False,
        description="reject the proposals with the reason `background`, as one batch that can be undone",
    )


class RankSubjectsResult(Model):
    frames: int = Field(description="active frames that were ranked")
    marked: dict[Mark, int] = Field(description="marks that were learnt from")
    proposed: int = Field(description="frames that are proposed as background")
    proposals: StoredFile | None = Field(
        description="JSONL of every ranked frame, most likely background first"
    )
    threshold: float | None = Field(description="probability from which a frame is proposed")
    precision: float | None = Field(description="of the marks that were held out")
    precision_lower: float | None = Field(description="its one-sided lower bound at 90% confidence")
    precision_expected: float | None = Field(
        description="to be expected among all frames, where backgrounds may be rarer than among the marks"
    )
    recall: float | None = Field(description="share of the marked backgrounds found, held out")
    enough: bool = Field(description="whether the marks suffice to expect the wanted precision")
    message: str = Field(description="what this is worth, in a sentence")
    batch_id: str | None = Field(default=None, description="undoes what was applied")
    applied: int = Field(default=0, description="frames that were rejected; none where `enough` is false")
    features_made: int = Field(description="pictures that had to be read; the others were known")


class TakeDownPicturesRequest(Model):
    """Deletes the files of pictures and their variants, except where another picture lies in the
    same file, and marks the dataset versions and models that used them (`takedowns`). Every
    original with the same bytes goes, in all datasets. Neither these bytes, nor what looks like
    them, nor what lies at their `url` is stored again; other pictures of the page are, unless the
    request named the page."""

    image_id: str | None = Field(default=None, max_length=40, description="the picture, or a variant of it")
    url: str | None = Field(
        default=None, min_length=1, max_length=4000, description="or: where it was fetched from"
    )
    page_url: str | None = Field(
        default=None,
        min_length=1,
        max_length=4000,
        description="or: the page that showed it; nothing that names this page is stored again",
    )
    reason: str = Field(min_length=1, max_length=500, description="for the record")

    @model_validator(mode="after")
    def _one_choice(self) -> TakeDownPicturesRequest:
        if sum(name is not None for name in (self.image_id, self.url, self.page_url)) != 1:
            raise ValueError("name what must go by exactly one of 'image_id', 'url' and 'page_url'")
        return self


class TakeDownPicturesResult(Model):
    takedowns: list[str]
    images: list[str] = Field(description="originals taken down, in every dataset that had the same bytes")
    variants: int
    objects: int = Field(description="files removed from storage")
    dataset_versions: list[str] = Field(description="versions that hold a picture, now marked")
    models: list[str] = Field(description="models of such a version, now marked")
    look_alikes: list[str] = Field(
        description="pictures that stand as duplicates of it; look, and take them down too where needed"
    )
