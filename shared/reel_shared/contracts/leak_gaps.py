"""Leak gaps, how much better a leaky split makes a model look: what is asked of the trainer and what it answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reel_shared.contracts.base import RECIPE_PATTERN, DatasetName, Model, Source, spelled
from reel_shared.contracts.trainings import Metrics


class MeasureLeakGapRequest(Model):
    """Trains one short recipe on a random split and on the split by groups, and compares: how much
    better a leak makes a model look. Neither model is kept."""

    dataset: DatasetName = Field(default="default", description="pictures are gathered under this name")
    recipe: Annotated[str, spelled(RECIPE_PATTERN, "Name a recipe that GET /v1/recipes lists.")] = Field(
        default="leak-gap",
        json_schema_extra={"pattern": RECIPE_PATTERN},
        description="a recipe with public weights; `GET /v1/recipes` lists them",
    )
    train_sources: list[Source] = Field(
        default=[Source.MOVIE], min_length=1, description="scenes leak, so films alone unless said"
    )
    valid_fraction: float = Field(default=0.2, gt=0, lt=1, description="of every class and source")
    seed: int = Field(default=42, description="of the splits and the trainings")


class MeasureLeakGapResult(Model):
    dataset: str
    recipe: str
    random: Metrics = Field(description="pictures drawn at random: neighbours on both sides")
    groups: Metrics = Field(description="whole groups on one side")
    gap: float = Field(description="accuracy on random minus on groups: what the leak pretends")
    gap_interval: tuple[float, float] = Field(description="95 % of it, by bootstrap over groups and pictures")
    neighbours: float = Field(
        description="share of the random split's validation pictures whose group is trained on too"
    )
    seconds: float
