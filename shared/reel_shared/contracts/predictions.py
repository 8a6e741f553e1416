"""Predictions: what is asked of inference and what it answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from reel_shared.contracts.base import LabelProbability, Model, ObjectKey, StoredFile
from reel_shared.contracts.explanations import ExplanationOptions

MAX_KEYS = 10_000
Keys = Annotated[list[ObjectKey], Field(min_length=1, max_length=MAX_KEYS)]


class PredictPicturesRequest(Model):
    """Answers stored pictures, or the files of a stored zip, into one JSONL file, in the order
    asked (a zip's files in its own); what cannot be read gets an `error` instead of `predictions`
    and `confident`. More than 250 keys, or 1000 files of a zip, are cut into parts of kind
    `inference.predict_part` that all workers share. A whole job is answered by one model, also when
    another is promoted meanwhile."""

    model: str = Field(default="active", description="an id, or the one that serves")
    keys: Keys | None = Field(default=None, description="of stored pictures, at most 10,000")
    archive: ObjectKey | None = Field(
        default=None,
        description="in place of `keys`: a stored zip, within the limits on archives at `GET /v1/limits`. "
        "Each of its files is an input; a path that leaves the archive, a link, what is "
        "encrypted, damaged, too large, or unpacks to more than 200 times its size is that "
        "file's own error",
    )
    top_k: int = Field(default=3, ge=1, le=100, description="labels for each picture")
    tta: int = Field(
        default=0,
        ge=0,
        le=1,
        description="1: the mean of the picture's calibrated probabilities (5/8) and those of its mirror "
        "image (3/8); twice the work",
    )
    explain_not_sure: ExplanationOptions | None = Field(
        default=None,
        description='options of `explainer.explain_picture`, such as `{"methods": ["gradcam"]}`: when this job '
        "succeeds, whatever the model was not sure of is explained so, by a job `explainer.explain_pictures` whose "
        "`parent_id` is this job. Such pictures of a zip are stored one by one, and their lines get a `key`",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> PredictPicturesRequest:
        if (self.keys is None) == (self.archive is None):
            raise ValueError("send either keys or archive")
        return self


class PredictPartRequest(Model):
    """A part of a job's inputs, all asked of one model."""

    model: str = Field(description="its id: the whole job's, whatever serves meanwhile")
    keys: Keys | None = Field(default=None, description="this part's pictures")
    archive: ObjectKey | None = Field(default=None, description="the whole job's zip")
    start: int = Field(default=0, ge=0, description="of the archive's files in their order, the first")
    stop: int = Field(default=0, ge=0, description="and the one behind the last")
    top_k: int = Field(default=3, ge=1, le=100, description="the whole job's")
    tta: int = Field(default=0, ge=0, le=1, description="the whole job's")
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
