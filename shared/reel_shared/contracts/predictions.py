"""Predictions: what is asked of inference and what it answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from reel_shared.contracts.base import LabelProbability, Model, ObjectKey, StoredFile
from reel_shared.contracts.explanations import ExplanationOptions

MAX_KEYS = 10_000
Keys = Annotated[list[ObjectKey], Field(min_length=1, max_length=MAX_KEYS)]


class PredictPicturesRequest(Model):
    model: str = "active"
    keys: Keys | None = Field(default=None, description="of stored pictures")
    archive: ObjectKey | None = Field(
        default=None, description="a stored zip, in place of keys: all its files"
    )
    top_k: int = Field(default=3, ge=1, le=100)
    tta: int = Field(default=0, ge=0, le=1, description="1: the mirror image counts too")
    explain_not_sure: ExplanationOptions | None = Field(
        default=None,
        description="explain every answer that the model is not sure of, drawn so; a job of its own, whose parent is "
        "this one. Such pictures of an archive are stored one by one",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> PredictPicturesRequest:
        if (self.keys is None) == (self.archive is None):
            raise ValueError("send either keys or archive")
        return self


class PredictPartRequest(Model):
    """A part of a job's inputs, all asked of one model."""

    model: str = Field(description="its id: the whole job's, whatever serves meanwhile")
    keys: Keys | None = None
    archive: ObjectKey | None = None
    start: int = Field(default=0, ge=0, description="of the archive's files in their order, the first")
    stop: int = Field(default=0, ge=0, description="and the one behind the last")
    top_k: int = Field(default=3, ge=1, le=100)
    tta: int = Field(default=0, ge=0, le=1)
    keep_not_sure: bool = Field(
        default=False, description="store what an archive holds and the model is not sure of"
    )


class PredictPartResult(Model):
    count: int
    failed: int
    cached: int
    not_sure: int = 0
    results: StoredFile


class Prediction(Model):
    model: str
    predictions: list[LabelProbability]
    confident: bool = Field(
        description='false: say "not sure"; the likeliest label is less probable than the card\'s not_sure_below'
    )


class PredictPicturesResult(Model):
    model: str
    count: int
    failed: int
    cached: int = Field(default=0, description="answered from memory: the same picture was asked lately")
    not_sure: int = Field(default=0, description="answers with `confident` false")
    parts: int = Field(default=1, description="jobs that it was divided into")
    results: StoredFile = Field(
        description="JSONL, one line per input: key or file, predictions and confident, or error"
    )
