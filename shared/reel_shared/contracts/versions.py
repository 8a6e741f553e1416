"""Dataset versions, their splits and certificates: what is asked of the trainer and what it answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reel_shared.contracts.base import DatasetName, Label, Model, Source, StoredFile

GREY = "grey"
"""The probe set of grayscale variants of validation pictures."""
PinSide = Literal["train", "valid", "excluded"]


class ProbeSet(Model):
    """A held-out set by name: every original that all given filters fit. It judges, and never enters training."""

    name: DatasetName
    source: Source | None = None
    style: str | None = Field(default=None, max_length=40)
    label: Label | None = None

    @model_validator(mode="after")
    def _says_which(self) -> ProbeSet:
        if self.source is None and self.style is None and self.label is None:
            raise ValueError(
                f"say by source, style or label which pictures make up the probe set {self.name!r}"
            )
        return self


class BuildDatasetVersionRequest(Model):
    """Splits a dataset as it stands, and proves that nothing leaks."""

    dataset: DatasetName = Field(default="default", description="pictures are gathered under this name")
    train_sources: list[Source] = Field(
        default=[Source.MOVIE, Source.WEB],
        min_length=1,
        description="which originals are trained on; validation is the same whatever is said here",
    )
    variants: bool = Field(default=True, description="train on the six variants too")
    valid_fraction: float = Field(default=0.2, gt=0, lt=1, description="of every class and source")
    near_distance: int = Field(
        default=6, ge=0, le=16, description="pHash bits that keep two pictures on one side"
    )
    match_inverted: bool = Field(
        default=True, description="a picture and its negative are near duplicates too"
    )
    min_gap_seconds: float = Field(
        default=2.0, ge=0, le=600, description="frames of a film nearer to a held-out one are not trained on"
    )
    few_groups: Literal["warn", "refuse"] = Field(
        default="warn",
        description="what a class with fewer than 3 independent groups leads to: `warn` or `refuse`",
    )
    probes: list[ProbeSet] = Field(
        default_factory=list,
        max_length=20,
        description="more probe sets: a name, and the source, style or label of the pictures that make it up",
    )
    grey_probe: bool = Field(
        default=False,
        description="judge on grayscale variants of the validation pictures too, apart from them; a warning "
        "counts those that have none",
    )
    strategy: Literal["groups", "random"] = Field(
        default="groups",
        description="`random`: a plain split that leaks and keeps no pins, for comparison; never certified",
    )
    base_version: str | None = Field(
        default=None,
        max_length=40,
        description="a dataset version whose sides are kept where its groups stand",
    )
    seed: int = Field(default=42, description="of the choice of validation groups")

    @model_validator(mode="after")
    def _fits(self) -> BuildDatasetVersionRequest:
        names = [probe.name for probe in self.probes]
        if len(set(names)) != len(names):
            raise ValueError("two probe sets have the same name")
        if self.grey_probe and GREY in names:
            raise ValueError(
                f"the name {GREY!r} belongs to grey_probe; call the other probe set something else"
            )
        if self.strategy == "random" and self.base_version is not None:
            raise ValueError("base_version keeps sides of groups; a random split has none")
        return self


class SplitCertificate(Model):
    """What the certificate says in short. "Across" is between training and what is held out: validation, probes."""

    certified: bool
    strategy: Literal["groups", "random"] = "groups"
    shared_scenes: int
    shared_lineages: int
    shared_files: int = Field(default=0, description="same bytes on both sides")
    shared_pages: int = Field(default=0, description="web pages with pictures on both sides")
    near_duplicates_across: int = Field(description="pairs of pictures")
    inverted_near_duplicates_across: int = Field(
        default=0, description="pairs: one is near the other's negative"
    )
    groups_across: int = Field(
        default=0, description="connected groups, through excluded pictures too, with pictures on both sides"
    )
    nearest_distance_across: int | None = Field(
        description="smallest pHash distance between train and what is held out, bits"
    )
    nearest_inverted_across: int | None = Field(default=None, description="the same to the negatives, bits")
    near_distance: int
    nearest_seconds_across: float | None = Field(
        default=None, description="smallest time between frames of one film on both sides"
    )
    too_near_in_time: int = Field(
        default=0, description="held-out frames with a training frame within the gap"
    )
    min_gap_seconds: float = 0.0
    variants_in_validation: int = 0
    probes: dict[str, int] = Field(default_factory=dict, description="pictures by probe set")
    groups: int
    warnings: list[str] = Field(default_factory=list)


class BuildDatasetVersionResult(Model):
    dataset_version_id: str
    manifest: StoredFile
    classes: list[str]
    images: dict[str, dict[str, dict[str, int]]] = Field(description="split -> source -> class -> images")
    left_out: dict[str, int] = Field(
        default_factory=dict, description="originals that take no part, by state; not in the manifest"
    )
    excluded: dict[str, int] = Field(
        default_factory=dict, description="pictures of the manifest that neither train nor judge, by reason"
    )
    certificate: SplitCertificate
    certificate_file: StoredFile | None = Field(
        default=None, description="the whole certificate, signed by its hash"
    )


class SplitPinRequest(Model):
    """Exactly one of: a scene (``movie_id``, ``scene``), a stretch of a film (``movie_id`` and its two times), or
    one picture (``image_id``)."""

    dataset: DatasetName = "default"
    side: PinSide
    movie_id: str | None = None
    scene: int | None = Field(default=None, ge=0)
    start_seconds: float | None = Field(default=None, ge=0)
    end_seconds: float | None = Field(default=None, gt=0, description="this moment no longer belongs to it")
    image_id: str | None = None

    @model_validator(mode="after")
    def _names_one_thing(self) -> SplitPinRequest:
        stretch = (self.start_seconds is not None, self.end_seconds is not None)
        given = (self.movie_id is not None, self.scene is not None, *stretch, self.image_id is not None)
        if given not in {
            (True, True, False, False, False),
            (True, False, True, True, False),
            (False, False, False, False, True),
        }:
            raise ValueError(
                "pin a scene by movie_id and scene, a stretch by movie_id, start_seconds and end_seconds, "
                "or one picture by image_id"
            )
        if self.end_seconds is not None and (self.start_seconds or 0.0) >= self.end_seconds:
            raise ValueError("end_seconds must be after start_seconds")
        return self
