"""``report.json``: all that the report of a training says, without its pictures; published beside the model.

``report.html`` is drawn from it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reel_shared.contracts.base import JsonObject, Model, Sha256
from reel_shared.contracts.evaluations import Evaluation
from reel_shared.contracts.trainings import CurvePoint, StageResult
from reel_shared.contracts.versions import SplitCertificate


class Report(Model):
    format: Literal[1] = 1
    evaluation: Evaluation
    stages: list[StageResult]
    epochs: list[dict[str, float | str]] = Field(description="one row per epoch")
    curve: dict[str, list[CurvePoint]] = Field(
        default_factory=dict,
        description="loss, rate and momentum by batch, of each stage; empty in older reports",
    )
    recipe: JsonObject = Field(description="as it was followed")
    weights: str = Field(description="what training started from")
    seed: int
    precision: Literal["fp32", "fp16", "bf16"] = Field(description="the effective one")
    device: str
    seconds: float
    split: SplitCertificate = Field(description="the split, as it was checked again before training")
    certificate_sha256: Sha256 | None = Field(
        description="hash of the stored leak certificate; none for versions from before it was stored"
    )
