"""Predictions: what is asked of inference and what it answers."""

from __future__ import annotations

from pydantic import Field

from reel_shared.contracts.base import Model, ObjectKey, StoredFile


class PredictPicturesRequest(Model):
    model: str = "active"
    keys: list[ObjectKey] = Field(min_length=1, max_length=10_000)
    top_k: int = Field(default=3, ge=1, le=100)
    tta: int = Field(default=0, ge=0, le=1, description="1: the mirror image counts too")


class LabelProbability(Model):
    label: str
    probability: float


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
    results: StoredFile = Field(
        description="JSONL, one line per input: key, predictions and confident, or error"
    )
