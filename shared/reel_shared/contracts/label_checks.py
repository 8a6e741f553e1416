"""Label checks: what is asked of the trainer and what it answers."""

from __future__ import annotations

from pydantic import Field

from reel_shared.contracts.base import Model, StoredFile


class CheckLabelsRequest(Model):
    dataset_version_id: str
    model: str = Field(default="active", description="the model whose network looks at the pictures")
    seed: int = Field(default=42, description="of the folds")


class CheckLabelsResult(Model):
    dataset_version_id: str
    model: str
    images: int = Field(description="originals that were judged, each by a classifier that did not see it")
    doubtful: int
    by_label: dict[str, int] = Field(description="doubtful pictures by the label that they have")
    proposals: StoredFile = Field(
        description="JSONL, the most doubtful first: id, label, source, style, suggested, confidence, "
        "given_probability, quality"
    )
