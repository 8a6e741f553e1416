"""The six variants: what is asked of augment and what it answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from reel_shared.contracts.base import DatasetName, Label, Model, Variant


class MakeVariantsRequest(Model):
    """Makes the six variants of web pictures that have none. Where there are no web pictures at
    all, it is refused (422)."""

    dataset: DatasetName = Field(default="default", description="pictures are gathered under this name")
    label: Label | None = Field(default=None, description="only this class")
    collection_id: str | None = Field(default=None, description="only this web collection")
    variants: list[Variant] = Field(
        default=[kind for kind in Variant if kind is not Variant.ORIGINAL],
        min_length=1,
        description="which kinds; intensity-invert is made of pictures of low contrast only",
    )
    web_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="make only as many as bring the web pictures of each class to this share of its "
        "pictures; not with `collection_id`",
    )
    grayscale_frames: bool = Field(
        default=False, description="gray copies of film frames too; not with `collection_id`"
    )
    grayscale_frames_share: float = Field(
        default=0.5, gt=0, le=1, description="of each class's frames, chosen at random by the seed"
    )
    dataset_version_id: str | None = Field(
        default=None,
        max_length=40,
        description="nothing but gray copies of this version's validation pictures, frames too; the "
        "grey_probe of the "
        "next version with it as base_version is made of them",
    )
    noise: Literal["exact", "fast"] = Field(
        default="exact",
        description="exact: scikit-image's own draw; fast: another of the same distribution, from tables",
    )
    format: Literal["jpeg", "webp"] = Field(
        default="jpeg", description="webp: without any loss, about twice the bytes"
    )
    quality: int = Field(default=90, ge=1, le=100, description="of JPEG")
    seed: int = Field(
        default=42, description="of the noise; variants that already stand are kept, whatever their seed"
    )

    @field_validator("variants")
    @classmethod
    def _kinds(cls, value: list[Variant]) -> list[Variant]:
        if Variant.ORIGINAL in value:
            raise ValueError("The original is no variant; leave it out.")
        if len(set(value)) != len(value):
            raise ValueError("A kind of variant is named twice.")
        return value

    @model_validator(mode="after")
    def _frames_are_in_no_collection(self) -> MakeVariantsRequest:
        if self.grayscale_frames and self.collection_id is not None:
            raise ValueError(
                "Film frames are in no web collection; ask for grayscale_frames without collection_id."
            )
        if self.web_share is not None and self.collection_id is not None:
            raise ValueError(
                "A web_share is of a whole class, frames and all collections; ask for it without collection_id."
            )
        return self

    @model_validator(mode="after")
    def _a_version_has_gray_copies_only(self) -> MakeVariantsRequest:
        others = self.collection_id is not None or self.web_share is not None or self.grayscale_frames
        if self.dataset_version_id is not None and (others or Variant.GRAYSCALE not in self.variants):
            raise ValueError(
                "With dataset_version_id its validation pictures get gray copies and nothing else is made; leave out "
                "collection_id, web_share and grayscale_frames, and keep grayscale among the variants."
            )
        return self


class WebShare(Model):
    """The web pictures' share of a class: active originals and their variants, probe sets left out."""

    frames: int = Field(description="film frames at the end, with their gray copies")
    web_before: int
    web_after: int
    before: float
    after: float
    short: int = Field(default=0, description="pictures that lack for the wanted share: no more can be made")


class MakeVariantsResult(Model):
    sources: int = Field(description="active web pictures looked at")
    made: dict[str, int] = Field(description="variants made now of web pictures, by kind")
    already: int = Field(description="variants that stood from an earlier run")
    skipped_low_contrast: dict[str, int]
    gray_frames: int = Field(default=0, description="gray copies of film frames made now")
    refused: dict[str, int] = Field(default_factory=dict, description="pictures without variants, by reason")
    shares: dict[str, WebShare] = Field(default_factory=dict, description="by class")
