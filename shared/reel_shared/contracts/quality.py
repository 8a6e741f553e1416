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
        default=0.3, gt=0, le=1, description="a shorter side that is a smaller share of the longer one"
    )
    dark: float | None = Field(
        default=30.0,
        ge=0,
        le=255,
        description="the lightest hundredth of the picture is darker than this level of 255",
    )
    bright: float | None = Field(
        default=200.0,
        ge=0,
        le=255,
        description="its darkest thousandth is lighter than this level; a thin drawing on white paper passes",
    )
    low_information: float | None = Field(
        default=0.02,
        ge=0,
        le=1,
        description="a smaller share of the picture has anything in it (16 levels of difference within 9 "
        "pixels)",
    )
    blurred: float | None = Field(
        default=0.6,
        ge=0,
        le=1,
        description="the steepest step makes up less of its edge, at the sharpest tenth of the edges; 1 is a "
        "step in one pixel",
    )


class FrameChecks(QualityChecks):
    """The same for a film's frames, whose size and shape are the request's own."""

    too_small: int | None = Field(default=None, ge=1, description="pixels that the shorter side needs")
    odd_aspect: float | None = Field(
        default=None, gt=0, le=1, description="shorter over longer side that a frame needs"
    )
