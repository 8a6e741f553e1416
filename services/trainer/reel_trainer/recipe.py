"""A recipe says how a network is trained, as data; YAML files in ``recipes/`` are the ones that ship.

Read by ``api`` (to list and check them) and ``learner`` (to follow them). Imports no torch.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from reel_shared.contracts import Model
from reel_shared.errors import NotFound, Unprocessable

PUBLIC_WEIGHTS = ("none", "package", "torchvision")
"""Sources of weights that need no file in the bucket."""

SMALLEST_BATCH = 2
"""Batch normalisation in training needs more than one picture."""

Rate = Annotated[float, Field(gt=0, le=10)]
Architecture = Literal[
    "resnet18", "resnet34", "resnet50", "resnet101", "resnext50", "densenet121", "efficientnet_lite0"
]


class Transforms(Model):
    """Augmentation of training pictures; the defaults are fastai's ``aug_transforms``.

    The kinds of change made offline by the six variants are not repeated here.
    """

    flip: bool = True
    max_rotate: float = Field(default=10.0, ge=0, le=180, description="degrees")
    max_zoom: float = Field(default=1.1, ge=1, le=4)
    max_lighting: float = Field(default=0.2, ge=0, lt=1)
    max_warp: float = Field(default=0.2, ge=0, lt=1)
    p_affine: float = Field(default=0.75, ge=0, le=1)
    p_lighting: float = Field(default=0.75, ge=0, le=1)


class OneCycle(Model):
    """The shape of the one-cycle schedule; the defaults are fastai 2's."""

    pct_start: float = Field(default=0.25, gt=0, lt=1)
    div: float = Field(default=25.0, ge=1)
    div_final: float = Field(default=1e5, ge=1)


class Stage(Model):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")
    size: int = Field(ge=32, le=1024, description="side of the square picture, pixels")
    batch_size: Annotated[int, Field(ge=2, le=4096)] | Literal["auto"] = Field(
        description="pictures at a time; auto: the largest power of two that fits into memory"
    )
    accumulate: int = Field(default=1, ge=1, le=1024, description="batches to one update of the weights")
    frozen: bool = Field(description="train the head only")
    train_bn: bool = Field(default=True, description="let a frozen body adapt its batch normalisation")
    epochs: int = Field(ge=1, le=1000)
    lr_max: Rate | tuple[Rate, Rate] = Field(description="for all, or from the early body up to the head")
    one_cycle: OneCycle | None = Field(default=None, description="instead of the recipe's")
    keep_best: bool = Field(
        default=False, description="go on with the most accurate epoch's weights, not with the last one's"
    )
    patience: int | None = Field(
        default=None, ge=1, le=1000, description="end the stage after so many epochs without a better one"
    )

    @property
    def least_update(self) -> int:
        """How many pictures make one update of the weights; with ``auto`` the fewest that it may come to."""
        return self.accumulate * (SMALLEST_BATCH if self.batch_size == "auto" else self.batch_size)

    @field_validator("lr_max")
    @classmethod
    def _rising(cls, value: float | tuple[float, float]) -> float | tuple[float, float]:
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError("lr_max goes from low to high")
        return value


class Recipe(Model):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")
    description: str = ""
    architecture: Architecture
    weights: str = Field(
        description="none | package | torchvision | a key of a safetensors file in the bucket"
    )
    stages: list[Stage] = Field(min_length=1, max_length=20)
    transforms: Transforms = Transforms()
    one_cycle: OneCycle = OneCycle()
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto",
        description="auto: fp16 on a GPU; bf16 on a CPU that has it, unless convolutions are depthwise; else fp32",
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    sampling: Literal["natural", "balanced"] = Field(
        default="natural", description="balanced: every class, and in it every source, as often as the others"
    )
    web_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="with balanced sampling: web pictures' part of what is drawn of each class, in place of a half",
    )
    tta: int = Field(
        default=4,
        ge=0,
        le=16,
        description="augmented views of each picture that judges, beside the plain one",
    )
    wanted_accuracy: float = Field(
        default=0.95, gt=0, le=1, description="of the answers that the model is to be sure of"
    )
    train_on_validation: bool = Field(
        default=False, description="refit on everything for deployment; its metrics are not held out"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Recipe:
        if len({stage.name for stage in self.stages}) != len(self.stages):
            raise ValueError("two stages have the same name")
        return self

    @model_validator(mode="after")
    def _a_share_needs_balance(self) -> Recipe:
        if self.web_share is not None and self.sampling != "balanced":
            raise ValueError("web_share needs sampling: balanced")
        return self

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def size(self) -> int:
        """The side of the pictures that the finished model sees."""
        return self.stages[-1].size


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("reel_trainer").joinpath("recipes").iterdir()
        if entry.name.endswith(".yaml")
    )


def load_recipe(name: str) -> Recipe:
    """Return a recipe that ships. Raises NotFound."""
    if name not in recipe_names():
        raise NotFound(f"There is no recipe {name!r}; choose one of {', '.join(recipe_names())}.")
    return parse_recipe(files("reel_trainer").joinpath("recipes", f"{name}.yaml").read_text())


def parse_recipe(text: str) -> Recipe:
    """Read a recipe from YAML. Raises Unprocessable with the first thing that is wrong."""
    try:
        return Recipe.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise Unprocessable(f"The recipe is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unprocessable(f"The recipe cannot be followed: {where or 'it'}: {first['msg']}.") from error
