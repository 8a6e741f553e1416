"""Frames out of films: what is asked of ingest and what it answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reel_shared.contracts.base import Counts, DatasetName, JsonObject, Label, Model, ObjectKey, StoredFile
from reel_shared.contracts.borders import BordersReport
from reel_shared.contracts.quality import FrameChecks

MAX_PARTS = 64
MAX_CROP = 4096
"""Half of the longest side that a film may have; cutting more leaves nothing of any."""
Crop = tuple[int, int, int, int]


class ExtractFramesRequest(Model):
    """Takes frames out of one film. Times and scenes are those of the whole film, whatever part is
    taken. A long film is cut at keyframes into ranges, each a part of kind `ingest.extract_range`;
    the frames are those of one pass, byte for byte."""

    dataset: DatasetName = Field(default="default", description="pictures are gathered under this name")
    label: Label
    title: str = Field(default="", max_length=200, description="the film's name, for people")
    key: ObjectKey = Field(description="where the film lies in the bucket")
    every_frames: int | None = Field(
        default=None, ge=1, description="take one frame in so many; 48 unless said"
    )
    every_seconds: float | None = Field(default=None, gt=0, description="or one frame in so many seconds")
    per_scene: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="or so many frames of each scene, well apart; then the film is not cut",
    )
    mode: Literal["exact", "fast"] = Field(
        default="exact",
        description="fast takes the nearest frame that is decoded anyway, and leaves the deblocking filter "
        "out",
    )
    parts: Literal["auto"] | Annotated[int, Field(ge=1, le=MAX_PARTS)] = Field(
        default="auto",
        description="ranges that are decoded as jobs of their own, whose union is one pass; auto: one for "
        "each "
        "10 minutes of film",
    )
    start_seconds: float = Field(default=0.0, ge=0, description="of the film")
    end_seconds: float | None = Field(default=None, gt=0, description="the film's end unless said")
    width: int | None = Field(
        default=None, ge=16, le=7680, description="of the box that a frame is fitted into, pixels"
    )
    height: int | None = Field(default=None, ge=16, le=4320, description="likewise")
    keep_aspect: bool = Field(default=True, description="fit inside width x height; else stretch to it")
    quality: int = Field(default=90, ge=1, le=100, description="JPEG quality")
    crop_borders: Literal["auto", "none"] | Annotated[int, Field(ge=0, le=MAX_CROP)] = Field(
        default="auto",
        description="measure constant bars of any colour and cut them; `none`; or cut so many pixels on each "
        "side, at most 4096",
    )
    near_distance: int = Field(
        default=4, ge=0, le=16, description="pHash bits within which a frame is a duplicate"
    )

    quality_checks: FrameChecks = Field(
        default_factory=FrameChecks,
        description="thresholds of the checks on each frame; `too_small` and `odd_aspect` are off",
    )

    @model_validator(mode="after")
    def _one_step(self) -> ExtractFramesRequest:
        steps = (self.every_frames, self.every_seconds, self.per_scene)
        given = sum(step is not None for step in steps)
        if given > 1:
            raise ValueError("give one of every_frames, every_seconds and per_scene, not several")
        if given == 0:
            self.every_frames = 48
        if self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise ValueError("end_seconds must lie after start_seconds")
        return self


class ExtractFramesResult(Model):
    movie_id: str
    counts: Counts
    scenes: int
    duration_seconds: float
    frame_rate: float
    codec: str
    width: int
    height: int
    crop: Crop = Field(description="pixels cut: top, right, bottom, left")
    borders: BordersReport | None = Field(default=None, description="the evidence, where it was measured")
    parts: int = Field(description="ranges that the film was decoded in")
    mode: Literal["exact", "fast"]
    largest_shift_seconds: float = Field(
        description="in fast mode, the longest time from a frame taken to the one that was due"
    )
    notes: list[str] = Field(description="what was done otherwise than usual, and why")


class ExtractRangeRequest(Model):
    """One range of a film. Submitted by ``extract_frames`` only."""

    film: ExtractFramesRequest = Field(description="what the whole job was asked for")
    crop: Crop = Field(description="pixels cut: top, right, bottom, left")
    plan: JsonObject = Field(description="how the film is cut; a range of another film is refused")
    number: int = Field(ge=0, description="which of the plan's ranges")


class ExtractRangeResult(Model):
    frames: StoredFile = Field(
        description="a JSON line for each frame taken, and a last one with what the range knows of scenes"
    )
    count: int = Field(description="frames taken")
