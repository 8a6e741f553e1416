"""Pictures out of the web, a zip or a folder: what is asked of ingest and what it answers."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from reel_shared.contracts.base import Counts, DatasetName, DropFolder, Label, Model, ObjectKey, spelled
from reel_shared.contracts.quality import QualityChecks

ARTICLE_STYLES = ("", "fanart", "sketches", "drawing", "cosplay")
"""What the article searched for, each beside the class's name; the empty one is the name alone."""
COSPLAY = "cosplay"
MAX_CANDIDATES = 100_000
"""Of one collection, over all its searches."""
SEARCHED = ("openverse", "wikimedia", "ddgs")
"""Providers that search; the others are given what they have."""
SEARCH_LIMIT = 200

Style = Annotated[str, Field(max_length=40)]
ProbeName = Annotated[
    str,
    spelled(
        r"^([a-z0-9][a-z0-9_-]{0,62})?$",
        "Name a probe set with lower-case letters, digits, - and _, at most 63 characters, or leave it empty.",
    ),
]


class CollectPicturesRequest(Model):
    """Collects pictures of one class. With `augment`, `augment.make_variants` follows as a job of
    its own (`parent_id`)."""

    dataset: DatasetName = Field(default="default", description="pictures are gathered under this name")
    label: Label
    provider: Literal["openverse", "wikimedia", "ddgs", "urls", "folder", "zip"] = Field(
        default="openverse",
        description="`openverse` (`query`), `urls`, `zip` (`key` or a form's `file`), `folder`",
    )
    query: str = Field(default="", max_length=200, description="what is searched for")
    style: Style = Field(default="", description="what the query asked for: fanart, sketch, drawing, …")
    styles: list[Style] = Field(
        default_factory=list,
        max_length=20,
        description="one search for each, instead of `style`; an empty one searches for the query alone",
    )
    since: date | None = Field(default=None, description="the first day that counts")
    until: date | None = Field(default=None, description="the first day that counts no more")
    windows: int = Field(
        default=1, ge=1, le=366, description="cut since to until into so many searches, so that none repeats"
    )
    min_side: int = Field(default=0, ge=0, le=20_000, description="pixels that no side may fall short of")
    max_side: int | None = Field(default=None, ge=1, le=20_000, description="pixels that no side may exceed")
    probe: ProbeName | None = Field(
        default=None,
        description="name of the held-out probe set that these pictures make up; "
        "unless said, pictures of the style cosplay make up `cosplay`, the others none",
    )
    urls: list[str] = Field(default_factory=list, max_length=5000, description="addresses, in order")
    key: ObjectKey | None = Field(default=None, description="the zip in the bucket")
    folder: DropFolder = Field(
        default="",
        description="for the provider `folder`: a folder under `drop/` in the bucket, such as `drop/kiki`; "
        "`drop/` is the place for people's own files, and no other prefix is taken. With nothing "
        "under it the job fails",
    )
    licence: str = Field(
        default="", max_length=100, description="of urls, folder and zip pictures, when known"
    )
    attribution: str = Field(default="", max_length=500, description="as for `licence`")
    limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_CANDIDATES,
        description="candidates at most, up to 100,000: of each search, 200 unless said; of urls, a folder "
        "and a zip, all unless said. What it leaves out of these is counted as refused for "
        "`over-limit`, without a row each",
    )
    near_distance: int = Field(
        default=6, ge=0, le=16, description="pHash bits within which a picture is a duplicate"
    )
    quality_checks: QualityChecks = Field(
        default_factory=QualityChecks, description="thresholds of the checks on each picture; null is off"
    )
    augment: bool = Field(default=True, description="make the six variants afterwards")
    retry_of: str | None = Field(
        default=None,
        max_length=40,
        description="fetch only what failed for a while in this collection; "
        "set by `POST /v1/web-collections/{id}/retry`",
    )

    @property
    def candidates(self) -> int:
        """How many candidates are taken at most, of each search or of what was given."""
        return self.limit or (SEARCH_LIMIT if self.provider in SEARCHED else MAX_CANDIDATES)

    def probe_of(self, style: str) -> str:
        """Return the probe set that a picture found with this style belongs to; empty for none."""
        if self.probe is not None:
            return self.probe
        return COSPLAY if style.strip().lower() == COSPLAY else ""

    @field_validator("styles")
    @classmethod
    def _each_once(cls, styles: list[str]) -> list[str]:
        return list(dict.fromkeys(style.strip() for style in styles))

    @model_validator(mode="after")
    def _provider_has_input(self) -> CollectPicturesRequest:
        searched = dict.fromkeys(SEARCHED, self.query)
        needs = {**searched, "urls": self.urls, "folder": self.folder, "zip": self.key}
        if not needs[self.provider]:
            wanted = {**dict.fromkeys(searched, "query"), "zip": "key"}.get(self.provider, self.provider)
            raise ValueError(f"provider {self.provider!r} needs {wanted!r}")
        if self.styles and self.style:
            raise ValueError("give style or styles, not both")
        if len(self.styles) > 1 and self.provider not in searched:
            raise ValueError(f"provider {self.provider!r} searches for nothing, so it takes one style only")
        return self

    @model_validator(mode="after")
    def _searches_fit(self) -> CollectPicturesRequest:
        if self.since and self.until and self.since >= self.until:
            raise ValueError("since must come before until")
        if self.windows > 1:
            if not (self.since and self.until):
                raise ValueError("windows need both since and until")
            if self.windows > (self.until - self.since).days:
                raise ValueError(
                    "there are more windows than days from since to until; a window has one at least"
                )
        searches = max(1, len(self.styles)) * self.windows
        if self.provider in SEARCHED and searches * self.candidates > MAX_CANDIDATES:
            raise ValueError(
                f"{searches} searches of {self.candidates} candidates are more than {MAX_CANDIDATES}; "
                "lower the limit"
            )
        if self.max_side is not None and self.max_side < self.min_side:
            raise ValueError("max_side is smaller than min_side")
        return self


class SearchFound(Model):
    """One search of a collection and how many new candidates it gave."""

    words: str
    style: str = ""
    since: date | None = None
    until: date | None = None
    candidates: int


class CollectPicturesResult(Model):
    collection_id: str
    provider: str
    counts: Counts
    licences: dict[str, int] = Field(default_factory=dict)
    searches: list[SearchFound] = Field(
        default_factory=list, description="each search and how many new candidates it gave"
    )
