"""Label checks: what is asked of the trainer and what it answers."""

from __future__ import annotations

from pydantic import Field

from reel_shared.contracts.base import Model, StoredFile


class CheckLabelsRequest(Model):
    """Proposes originals that are probably filed under a wrong label. The model's network turns
    each picture into features; a small classifier that saw neither the picture nor its group judges
    the label. Only that classifier is out of fold: a network that was trained on the same wrong
    labels has bent its features towards them, so the check misses some; a model of another version,
    or trained for few epochs, misses fewer. Nothing is changed."""

    dataset_version_id: str = Field(description="whose originals are judged")
    model: str = Field(
        default="active",
        description="the model whose network looks at the pictures: an id, or the one that serves",
    )
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
