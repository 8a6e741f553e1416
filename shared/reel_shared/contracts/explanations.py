"""Explanations: what is asked of the explainer and what it answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reel_shared.contracts.base import Model, ObjectKey, StoredFile
from reel_shared.contracts.predictions import LabelProbability


class ExplainPictureRequest(Model):
    model: str = "active"
    key: ObjectKey
    labels: list[str] = Field(default_factory=list, max_length=10, description="none: the predicted label")
    methods: list[Literal["gradcam", "guided"]] = Field(default=["gradcam", "guided"], min_length=1)


class Explanation(Model):
    label: str
    probability: float
    gradcam: StoredFile | None = None
    guided: StoredFile | None = None
    border_share: float | None = Field(
        default=None, description="share of the heat in the outer tenth of the picture"
    )


class ExplainPictureResult(Model):
    model: str
    predictions: list[LabelProbability]
    picture: StoredFile
    explanations: list[Explanation]
