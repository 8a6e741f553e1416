"""Where a model looks: mean heat of each class over validation pictures, and what is suspicious about it."""

from __future__ import annotations

from pydantic import Field

from reel_shared.contracts.base import Label, Model, Source, StoredFile

Heat = list[list[float]]
"""Rows of a small map from the picture's top to its bottom; nonnegative, their sum is 1, or all zero."""


class ClassAttention(Model):
    """Grad-CAM of the class that the pictures truly show, each picture's heat made to sum to 1, then their mean."""

    label: Label
    source: Source
    images: int = Field(description="pictures with heat in them that were looked at")
    heat: Heat
    ring_share: float = Field(description="share of the heat in the outer tenth of the picture")
    ring_ratio: float = Field(description="that share over what even heat would have there, 0.36")
    alarm: bool = Field(
        default=False, description="it looks at the edge, and the other classes do not look there as much"
    )


class Shortcut(Model):
    """Pixels that are the same in nearly every picture of a class, such as bars and logos, and what the network makes
    of them: they are painted on pictures of the other classes, and it is asked again."""

    label: Label
    source: Source
    images: int = Field(description="pictures of the class in which they are the same")
    area: float = Field(description="share of the picture's pixels")
    where: list[list[float]] = Field(
        description="which part of each cell, row by row from the picture's top, is such pixels"
    )
    others: int = Field(description="pictures of other classes that they were painted on")
    odds: float = Field(
        description="factor by which they raise the odds of the class there, geometric mean; 1: not used"
    )
    odds_interval: tuple[float, float] | None = Field(
        description="95 % of it, by drawing whole groups anew; null when the others are one group"
    )
    alarm: bool = Field(default=False, description="the network takes them for the class")


class Attention(Model):
    """``classes`` is empty where the network's maps are too coarse to tell an edge from a middle."""

    classes: list[ClassAttention]
    shortcuts: list[Shortcut] = Field(
        default_factory=list, description="of each class and source that has pixels which are always the same"
    )
    alarms: list[str] = Field(default_factory=list, description="a sentence for each class that fires")


class CompareAttentionRequest(Model):
    """Compares where two models look in the same held-out pictures: for each class at most 100 of
    them, the same ones each time, each asked about the class it shows."""

    models: tuple[str, str] = Field(description="two ids, or `active`: before and after")
    dataset_version_id: str = Field(description="the version whose pictures are looked at")
    probe: str = Field(default="", description="a probe set's name; empty: the validation pictures")
    source: Source | None = Field(default=None, description="`movie` or `web`; both unless said")
    label: Label | None = Field(
        default=None, description="one class; every class that both models know unless said"
    )


class ModelLook(Model):
    """What one of the two models makes of a class's pictures."""

    accuracy: float
    heat: Heat
    ring_share: float | None = Field(
        description="share of the heat in the outer tenth; null without any heat"
    )


class AttentionDifference(Model):
    """Both maps are brought to the coarser one's cells; ``difference`` is after less before, and sums to 0."""

    label: Label
    images: int
    looks: tuple[ModelLook, ModelLook]
    difference: list[list[float]]
    picture: StoredFile = Field(
        description="PNG: the mean picture, the same under each model's mean heat, and the difference: red "
        "where the "
        "second looks more, blue where it looks less"
    )


class CompareAttentionResult(Model):
    models: tuple[str, str]
    missing: int = Field(description="pictures that were taken down since the version was made")
    classes: list[AttentionDifference]
