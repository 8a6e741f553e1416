"""Explanations of many pictures in one job, many in parts: which pictures, and the file of results."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from reel_shared.contracts.base import Label, Model, ObjectKey, Sha256, StoredFile, spelled
from reel_shared.contracts.explanations import ExplanationOptions

_PREFIX = r"^([a-z]+/[A-Za-z0-9_./-]{0,400})?$"
_PREFIX_ADVICE = "Name what the keys begin with, such as frames/ or drop/kiki/."
_PART = r"^(all|movie|web|probe(:[a-z0-9][a-z0-9_-]{0,62})?)$"
_PART_ADVICE = "Choose all, movie, web, probe, or one probe set such as probe:costumes."
MOST_EXPLAINED = 10_000
SOURCES = ("keys", "prefix", "mistakes_in", "not_sure_in")


class ExplainPicturesRequest(ExplanationOptions):
    """Explains many pictures, several at a time through the network: those of exactly one of `keys`, `prefix`,
    `mistakes_in` and `not_sure_in`. More than 100 are cut into parts of kind `explainer.explain_part` that all workers
    share. A whole job explains one model and one list of pictures, whatever changes meanwhile."""

    model: str = Field(
        default="active",
        description="an id, or the one that serves; with `not_sure_in` `active` is the model that gave the "
        "answers",
    )
    keys: list[ObjectKey] = Field(
        default_factory=list, max_length=MOST_EXPLAINED, description="up to 10,000 keys in the bucket"
    )
    prefix: Annotated[str, spelled(_PREFIX, _PREFIX_ADVICE)] = Field(
        default="",
        description="every stored picture whose key begins so, such as `drop/kiki/`; up to 100,000 are "
        "counted",
    )
    mistakes_in: Annotated[str, spelled(_PART, _PART_ADVICE)] | None = Field(
        default=None,
        description="the pictures that the model got wrong when it was judged, the worst first: `all` "
        "(validation pictures), `movie`, `web`, `probe` or one probe set such as `probe:costumes`",
    )
    not_sure_in: str | None = Field(
        default=None, description="a prediction job's id: the pictures that it was not sure of"
    )
    limit: int = Field(
        default=1000, ge=1, le=MOST_EXPLAINED, description="no more pictures than this, at most 10,000"
    )
    labels: list[str] = Field(
        default_factory=list, max_length=10, description="none: each picture's predicted label"
    )
    include_actual: bool = Field(
        default=True, description="explain what a picture truly shows too, where that is known: for mistakes"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ExplainPicturesRequest:
        said = [name for name in SOURCES if getattr(self, name)]
        if len(said) != 1:
            raise ValueError(f"name the pictures by exactly one of {', '.join(SOURCES)}.")
        return self


class WantedPicture(Model):
    """A picture to explain, and what it truly shows where that is known."""

    key: ObjectKey
    sha256: Sha256 | None = None
    actual: Label | None = None


class ExplainPartRequest(ExplanationOptions):
    """A part of a job's pictures, all explained by one model."""

    model: str = Field(description="its id: the whole job's, whatever serves meanwhile")
    pictures: list[WantedPicture] = Field(
        min_length=1, description="this part's pictures: `key`, `sha256` and `actual` where they are known"
    )
    labels: list[str] = Field(default_factory=list, max_length=10, description="the whole job's")
    include_actual: bool = Field(default=True, description="the whole job's")
    found: int = Field(
        description="pictures that the whole job had found before its limit; for a later attempt of it to "
        "tell"
    )


class ExplainPartResult(Model):
    count: int
    failed: int
    results: StoredFile


class ExplainPicturesResult(Model):
    model: str
    found: int = Field(description="pictures there were; beyond the limit they are not explained")
    count: int
    failed: int
    parts: int = Field(default=1, description="jobs that it was divided into")
    results: StoredFile = Field(
        description="JSONL, one line per picture: key, actual and what explainer.explain_picture answers, or "
        "error"
    )
