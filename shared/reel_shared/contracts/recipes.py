"""A recipe says how a network is trained, as data: shipped as YAML by the trainer, or sent with a request."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, field_validator, model_validator

from reel_shared.contracts.base import RECIPE_PATTERN, Model

PUBLIC_WEIGHTS = ("none", "package", "torchvision")
"""Sources of weights that need no file in the bucket."""

SMALLEST_BATCH = 2
"""Batch normalisation in training needs more than one picture."""

Rate = Annotated[float, Field(gt=0, le=10)]
_RATE: TypeAdapter[float] = TypeAdapter(Rate)
_RATES: TypeAdapter[tuple[float, float]] = TypeAdapter(tuple[Rate, Rate])


def _rate_or_rates(value: Any) -> float | tuple[float, float]:
    """Decide by what was sent, so that one fault is told, not one for each thing that it is not."""
    return (_RATES if isinstance(value, list | tuple) else _RATE).validate_python(value)


RateOrRates = Annotated[Rate | tuple[Rate, Rate], BeforeValidator(_rate_or_rates)]
Architecture = Literal[
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "resnext101",
    "wide_resnet50",
    "densenet121",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "mobilenet_v3_large",
    "convnext_tiny",
    "convnext_small",
    "regnet_y_3_2gf",
    "efficientnet_lite0",
]
"""Those of ``reel_networks``; a test holds both to each other."""


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
    """Epochs of one size, one batch size and one set of trained layers, under one cycle of the learning rate."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")
    size: int = Field(ge=32, le=1024, description="side of the square picture, pixels")
    batch_size: Annotated[int, Field(ge=2, le=4096)] | Literal["auto"] = Field(
        description="pictures at a time; auto: the largest power of two that fits into memory"
    )
    accumulate: int = Field(default=1, ge=1, le=1024, description="batches to one update of the weights")
    frozen: bool = Field(description="train the head only")
    train_bn: bool = Field(default=True, description="let a frozen body adapt its batch normalisation")
    epochs: int = Field(ge=1, le=1000)
    lr_max: RateOrRates = Field(description="for all, or from the early body up to the head")
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
    """A network, where its weights begin, and the stages it is trained in, one after the other."""

    name: str = Field(
        pattern=RECIPE_PATTERN,
        description="lower-case letters, digits, `-` and `_`; a model's `recipe` shows it",
    )
    description: str = ""
    architecture: Architecture = Field(
        description="`resnet18`, `resnet34`, `resnet50`, `resnet101`, `resnet152`, `resnext50`, "
        "`resnext101`, `wide_resnet50`, `densenet121`, `densenet169`, `densenet201`, "
        "`efficientnet_b0` to `efficientnet_b3`, `mobilenet_v3_large`, `convnext_tiny`, "
        "`convnext_small`, `regnet_y_3_2gf` or `efficientnet_lite0`. Guided backpropagation "
        "explains those with ReLU only: not `efficientnet_b…`, `mobilenet…`, `convnext…`"
    )
    weights: str = Field(
        description="`none`, `package`, `torchvision`, or the key of a safetensors file in the bucket"
    )
    stages: list[Stage] = Field(
        min_length=1,
        max_length=20,
        description="each with `name`, `size` (32 to 1024 px), `batch_size` (pictures at a time, in all "
        "processes together; `auto`: the largest power of two that fits), `accumulate` (1: "
        "batches to one update of the weights), `frozen`, `train_bn` (true), `epochs`, `lr_max` "
        "(one rate, or a low and a high one), `one_cycle` (the recipe's), `keep_best` (false: go "
        "on with the most accurate epoch's weights), `patience` (none: end after so many epochs "
        "without a better one)",
    )
    transforms: Transforms = Field(
        default=Transforms(),
        description="`flip` (true), `max_rotate` (10), `max_zoom` (1.1), `max_lighting` (0.2), `max_warp` "
        "(0.2), `p_affine` (0.75), `p_lighting` (0.75)",
    )
    one_cycle: OneCycle = Field(
        default=OneCycle(), description="`pct_start` (0.25), `div` (25), `div_final` (1e5)"
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto",
        description="`auto`, `fp32`, `fp16` or `bf16`; `auto` is fp16 on a GPU, bf16 on a CPU with such "
        "instructions for a network that gains by it (none with depthwise convolutions), fp32 "
        "otherwise. The result and the card say which it was",
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
        description="with balanced sampling: web pictures' part of what is drawn of each class, in place of "
        "a half; a class with one source draws from that. No copies are stored, unlike with the "
        "`web_share` of `augment.make_variants`",
    )
    tta: int = Field(
        default=4,
        ge=0,
        le=16,
        description="augmented views of each picture that judges, beside the plain one; 0: no test-time "
        "augmentation",
    )
    wanted_accuracy: float = Field(
        default=0.95, gt=0, le=1, description="of the answers that the model is to be sure of"
    )
    int8_accuracy_loss: float | None = Field(
        default=None,
        ge=0,
        le=0.1,
        description="also make an int8 graph, `model.int8.onnx`, and let it serve if it loses at most so "
        "much accuracy, 0 to 0.1; none: no int8",
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


def _name_or_recipe(value: Any) -> Any:
    """Decide by what was sent, so that a fault is told of the one that was meant, at its place in it."""
    if not isinstance(value, str):
        return value if isinstance(value, Recipe) else Recipe.model_validate(value)
    if not re.fullmatch(RECIPE_PATTERN, value):
        raise ValueError("Name a recipe that GET /v1/recipes lists, or send one.")
    return value


RecipeChoice = Annotated[
    Annotated[str, Field(json_schema_extra={"pattern": RECIPE_PATTERN})] | Recipe,
    BeforeValidator(_name_or_recipe),
]
"""A recipe that ships, by its name, or one that is sent whole."""
