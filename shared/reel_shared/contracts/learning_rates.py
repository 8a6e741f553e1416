"""Learning-rate finding, a sweep that keeps nothing: what is asked of the trainer and what it answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reel_shared.contracts.base import Model, StoredFile
from reel_shared.contracts.recipes import RecipeChoice


class FindLearningRateRequest(Model):
    """Trains one stage for a few steps at rates that rise exponentially, as fastai's `lr_find`
    does, and ends early when the smoothed loss is four times its least. Of the training pictures it
    takes as many as it can look at. No weights are kept."""

    dataset_version_id: str = Field(description="whose training pictures it looks at")
    recipe: RecipeChoice = Field(
        default="article", description="a recipe that ships, by its name, or a whole one"
    )
    stage: str | None = Field(
        default=None, max_length=64, description="of the recipe; its first one unless said"
    )
    weights: str = Field(
        default="recipe",
        description="where the stage begins, as for a training; for a later stage best the weights that an "
        "earlier one left, by their key",
    )
    seed: int = Field(default=42, description="of the head, of the pictures and of their order")
    start_lr: float = Field(default=1e-7, gt=0, le=10, description="of the first step")
    end_lr: float = Field(
        default=10.0, gt=0, le=100, description="towards which it rises, less than which it ends"
    )
    steps: int = Field(default=100, ge=20, le=500, description="20 to 500")

    @model_validator(mode="after")
    def _rising(self) -> FindLearningRateRequest:
        if self.start_lr >= self.end_lr:
            raise ValueError("start_lr must be less than end_lr")
        return self


class SweepPoint(Model):
    lr: float
    loss: float = Field(description="smoothed as fastai does, by 0.98 a step")
    raw_loss: float = Field(description="of this batch alone")


class FindLearningRateResult(Model):
    dataset_version_id: str
    recipe: str
    stage: str
    points: list[SweepPoint]
    diverged: bool = Field(description="the sweep ended early: the loss was four times its least")
    suggestions: dict[str, float] = Field(
        description="valley, steep, minimum -> rate; empty when it diverged too soon to tell"
    )
    precision: Literal["fp32", "fp16", "bf16"] = Field(description="the effective one")
    device: str
    curve: StoredFile = Field(description="the points and suggestions drawn, as SVG")
    seconds: float
