"""The model registry: aliases, gates and their verdicts, and what is asked of a model by a person."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from reel_shared.contracts.base import Model, spelled

CANDIDATE = "candidate"
"""Stands for the id of the model that is to serve next."""
SHADOW = "shadow"
"""Stands for the id of the model that is asked beside the active one, for comparison."""
NUMBER_PATTERN = r"^v[1-9][0-9]{0,8}$"
"""How people name a model: ``v7`` is the seventh that was registered."""

_TAG = r"^[a-z0-9][a-z0-9._-]{0,40}$"
Tag = Annotated[
    str,
    spelled(_TAG, "A tag is one word of lower-case letters, digits, . - and _, at most 41 characters."),
    Field(json_schema_extra={"pattern": _TAG}),
]
AliasAction = Literal["promote", "roll-back", "name", "remove"]


class GateState(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not-applicable"
    NOT_COMPARABLE = "not-comparable"
    """Both models have a figure, but not of the same pictures; see the gate ``comparison``."""


class Gate(Model):
    """One gate's verdict on one model."""

    name: Literal["certificate", "held-out", "graph", "take-downs", "accuracy", "regression", "comparison"]
    state: GateState
    says: str = Field(description="one sentence, with the figures")
    part: str | None = Field(default=None, description="what was judged: all | movie | web | probe:<name> …")
    figure: float | None = Field(default=None, description="the model's own")
    interval: tuple[float, float] | None = Field(default=None, description="95 %, of the figure")
    bound: float | None = Field(default=None, description="what is asked for, or the active model's figure")


class GateReport(Model):
    model_id: str
    against: str | None = Field(description="the active model that it was compared with; null without one")
    passed: bool = Field(description="whether it may be promoted: no gate failed")
    gates: list[Gate]

    @property
    def failed(self) -> list[Gate]:
        return [gate for gate in self.gates if gate.state == GateState.FAILED]


class PromoteRequest(Model):
    """The body of `POST /v1/models/{model_id}/promote`; it may be left out."""

    force: bool = Field(default=False, description="promote although gates fail; needs a reason")
    reason: str = Field(default="", max_length=500, description="kept in the history, for people")

    @model_validator(mode="after")
    def _told(self) -> PromoteRequest:
        if self.force and not self.reason.strip():
            raise ValueError("Say why in 'reason': a forced promotion is shown with its reason for ever.")
        return self


class AliasReason(Model):
    """The body of a request that moves an alias; it may be left out."""

    reason: str = Field(default="", max_length=500, description="kept in the history, for people")


class TagsRequest(Model):
    """The body of `PUT /v1/models/{model_id}/tags`: these and no others."""

    tags: list[Tag] = Field(max_length=50)


class RemarkRequest(Model):
    """The body of `POST /v1/models/{model_id}/remarks`."""

    text: str = Field(min_length=1, max_length=2000)


class ShadowRequest(Model):
    """The body of `POST /v1/models/{model_id}/shadow`; it may be left out."""

    share: float = Field(default=0.1, gt=0, le=1, description="of the live predictions")


class Disagreement(Model):
    """What the two models said of the same pictures."""

    active: str
    shadow: str
    count: int


class ShadowReport(Model):
    """How a shadow compares with the active model, counted over all replicas since ``since``."""

    model_id: str
    number: int
    against: str = Field(description="the active model")
    share: float
    since: datetime
    asked: int = Field(description="pictures that both answered")
    agreed: int = Field(description="of these with the same best label")
    agreement: float | None = Field(description="agreed of asked")
    confidence_difference: float | None = Field(
        description="mean of the shadow's confidence in its best label less the active model's in its own"
    )
    dropped: int = Field(description="pictures that the shadow was spared because the server was busy")
    failed: int = Field(description="pictures that it could not answer; the log says why")
    disagreements: list[Disagreement] = Field(description="the most frequent first")
    other_disagreements: int = Field(description="of pairs of labels beyond those that are kept apart")
