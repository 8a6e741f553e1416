"""Checks that a picture's quality has to pass: one threshold each, and none for a check that is off."""

from __future__ import annotations

from pydantic import Field

from reel_shared.contracts.base import Model


class QualityChecks(Model):
    """Thresholds on a picture's scores; null switches a check off.

    A picture that fails is kept as ``rejected`` with the check's name as its reason (``low-information``, …).
    """

    too_small: int | None = Field(default=64, ge=1, description="pixels that the shorter side needs")
    odd_aspect: float | None = Field(
        default=0.3, gt=0, le=1, description="shorter over longer side that a picture needs"
    )
    dark: float | None = Field(
        default=30.0, ge=0, le=255, description="level that the lightest hundredth of the picture needs"
    )
    bright: float | None = Field(
        default=200.0, ge=0, le=255, description="level that the darkest thousandth may have"
    )
    low_information: float | None = Field(
        default=0.02, ge=0, le=1, description="share of the picture that needs to have anything in it"
    )
    blurred: float | None = Field(
        default=0.6, ge=0, le=1, description="sharpness that the best edges need: 1 is a step in one pixel"
    )


class FrameChecks(QualityChecks):
    """The same for a film's frames, whose size and shape are the request's own."""

    too_small: int | None = Field(default=None, ge=1, description="pixels that the shorter side needs")
    odd_aspect: float | None = Field(
        default=None, gt=0, le=1, description="shorter over longer side that a frame needs"
    )
