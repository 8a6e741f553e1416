"""What was found at a film's edges: bars that are cut, and marks that are only reported."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reel_shared.contracts.base import Model, StoredFile

Side = Literal["top", "right", "bottom", "left"]


class Bar(Model):
    """A candidate for a bar at one side: lines that stay the same through the film."""

    pixels: int = Field(ge=0, description="its width as measured; 0 where there is none")
    colour: tuple[int, int, int] = Field(
        description="its mean red, green and blue; zeros where there is none"
    )
    agreement: float = Field(description="share of the useful frames in which the picture begins behind it")
    covered: float = Field(description="share of its length along which the picture was ever seen behind it")
    cut: bool = Field(description="whether it is a bar; false leaves the picture whole on this side")
    reason: str = Field(default="", description="why a candidate is not cut")


class Artefact(Model):
    """Something that lies on the picture in every scene; never cut."""

    kind: Literal["logo", "rounded-corners"]
    box: tuple[int, int, int, int] = Field(description="left, top, width, height in pixels of the whole film")
    constant_share: float = Field(description="share of the useful frames in which it was seen")


class BordersReport(Model):
    crop: tuple[int, int, int, int] = Field(
        description="pixels cut: top, right, bottom, left; rounded outward"
    )
    sampled: int = Field(description="frames that were looked at")
    useful: int = Field(description="of them, those with light and contrast enough to tell")
    bars: dict[Side, Bar]
    artefacts: list[Artefact] = Field(default_factory=list)
    reason: str = Field(default="", description="why nothing was cut")
    picture: StoredFile | None = Field(
        default=None, description="the film's mean picture with the crop and the artefacts drawn"
    )
