"""Which limits hold for whom: the deployment's settings, and what a key has of its own instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reel_shared.buckets import Policy
from reel_shared.security import DEMO, Principal
from reel_shared.settings import settings

Class = Literal["reads", "writes", "predictions", "jobs", "upload-bytes"]
MINUTE, DAY = 60, 86_400
_FIELDS: dict[Class, tuple[str, int]] = {
    "reads": ("reads_per_minute", MINUTE),
    "writes": ("writes_per_minute", MINUTE),
    "predictions": ("predictions_per_minute", MINUTE),
    "jobs": ("jobs_per_day", DAY),
    "upload-bytes": ("upload_bytes_per_day", DAY),
}


class KeyLimits(BaseModel):
    """A key's own limits; what is null is as the deployment says (``GET /v1/limits``), 0 is no limit."""

    model_config = ConfigDict(extra="forbid")

    reads_per_minute: int | None = Field(default=None, ge=0, le=10**9)
    writes_per_minute: int | None = Field(default=None, ge=0, le=10**9)
    predictions_per_minute: int | None = Field(default=None, ge=0, le=10**9)
    jobs_per_day: int | None = Field(default=None, ge=0, le=10**9)
    upload_bytes_per_day: int | None = Field(default=None, ge=0, le=10**15)


def policy_of(principal: Principal, name: Class) -> Policy | None:
    """Return the limit that holds for a caller; None where there is none."""
    field, window = _FIELDS[name]
    own = (principal.limits or {}).get(field)
    rates = settings().rates
    common: int = getattr(rates.visitor if principal.id == DEMO.id else rates.key, field)
    quota = common if own is None else own
    return Policy(name, quota, window) if quota else None


def effective(limits: Mapping[str, int | None] | None) -> dict[str, int]:
    """Return every limit of a key by its field's name: its own, else the deployment's."""
    common = settings().rates.key.model_dump()
    return {**common, **{name: value for name, value in (limits or {}).items() if value is not None}}
