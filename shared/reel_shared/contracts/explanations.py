"""Explanations: what is asked of the explainer and what it answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reel_shared.contracts.base import Label, LabelProbability, Model, ObjectKey, StoredFile

Method = Literal["gradcam", "guided", "guided_backprop"]
JUDGED = 3
"""Labels whose maps are judged in one request."""
Output = Literal["overlay", "npy", "json", "panel", "animation"]


class ExplanationOptions(Model):
    """How pictures are explained and drawn; the defaults draw what the article shows, at the least cost."""

    methods: list[Method] = Field(
        default=["gradcam", "guided"],
        min_length=1,
        max_length=3,
        description="`gradcam`; `guided`: guided backpropagation times Grad-CAM; `guided_backprop`: without "
        "it",
    )
    outputs: list[Output] = Field(
        default=["overlay"],
        min_length=1,
        max_length=5,
        description="`overlay`: a PNG for each label and method; `npy`: their raw float32 arrays; `json`: "
        "the heat's rows in the result; `panel`: all in one PNG, as the article shows them; "
        "`animation`: a GIF that fades between the first two labels",
    )
    colormap: Literal["magma", "inferno", "plasma", "viridis", "turbo", "jet", "gray"] = Field(
        default="magma", description="or `inferno`, `plasma`, `viridis`, `turbo`, `jet`, `gray`"
    )
    alpha: float = Field(default=0.8, ge=0, le=1, description="how much the heat covers the picture, 0 to 1")
    interpolation: Literal["nearest", "bilinear", "bicubic"] = Field(
        default="bilinear", description="of the heat's cells; or `nearest`, `bicubic`"
    )
    scale: Literal["each", "shared"] = Field(
        default="each",
        description="shared: one scale for all labels of a picture, so that their colours compare",
    )
    rectify: bool = Field(default=True, description="false: keep what speaks against a label, below zero")
    guided_style: Literal["signed", "stretched"] = Field(
        default="signed",
        description="around grey, light for and dark against; `stretched`: the gradient is brought to 0..1 "
        "before it is multiplied, as the article's author drew it",
    )
    difference: bool = Field(
        default=False,
        description="also the first label's heat less the second's, red and blue; the two likeliest unless "
        "labels are named",
    )
    features: int = Field(
        default=0,
        ge=0,
        le=64,
        description="so many channels of the last feature map, at most 64: the most active ones, and for "
        "each label those that carry most of its heat",
    )


class ExplainPictureRequest(ExplanationOptions):
    """Draws where and what the model saw."""

    model: str = Field(default="active", description="an id, or the one that serves")
    key: ObjectKey
    labels: list[str] = Field(default_factory=list, max_length=10, description="none: the predicted label")
    actual: Label | None = Field(
        default=None, description="what the picture shows: explained too where the model says otherwise"
    )
    faithfulness: bool = Field(
        default=False, description="also judge the maps; seconds for each, so at most three labels"
    )

    @model_validator(mode="after")
    def _few_are_judged(self) -> ExplainPictureRequest:
        if self.faithfulness and len(self.labels) > JUDGED:
            raise ValueError(f"faithfulness is measured for at most {JUDGED} labels; name fewer.")
        return self


class ShuffledLayer(Model):
    shuffled: str = Field(description="the part whose weights were shuffled last; those before it still are")
    rank_correlation: float | None = Field(
        description="Spearman's, of the map with the true one; null where the map has no contrast left"
    )


class Faithfulness(Model):
    """Of one map. A good one has a small ``deletion_area`` and a large ``insertion_area``."""

    deletion: list[float] = Field(
        description="the label's probability as the most important pixels are blurred, 0 to all in even steps"
    )
    insertion: list[float] = Field(description="and as they are put back into the blurred picture")
    deletion_area: float
    insertion_area: float
    randomisation: list[ShuffledLayer] = Field(description="from the head down to all weights")
    depends_on_weights: bool = Field(
        description="false: over these steps the map keeps a mean absolute correlation of 0.5 or more"
    )
    note: str = Field(description="what is known of the method; empty for gradcam")


class Explanation(Model):
    label: str
    probability: float
    gradcam: StoredFile | None = None
    guided: StoredFile | None = None
    guided_backprop: StoredFile | None = None
    border_share: float | None = Field(
        default=None, description="share of the heat in the outer tenth of the picture"
    )
    arrays: dict[Method, StoredFile] = Field(
        default_factory=dict,
        description="npy, float32: gradcam (h, w) in the logit's scale, the others (3, H, W)",
    )
    heat: list[list[float]] | None = Field(default=None, description="the rows of gradcam's array")
    faithfulness: dict[Method, Faithfulness] = Field(default_factory=dict)
    faithfulness_plot: StoredFile | None = Field(
        default=None, description="PNG: each method's curves, deletion red and insertion blue"
    )


class LabelDifference(Model):
    """The first label's heat less the second's, in the logits' scale."""

    labels: tuple[str, str]
    largest: float = Field(description="the largest absolute value: full colour in the picture")
    picture: StoredFile = Field(description="PNG: red where more speaks for the first, blue for the second")
    array: StoredFile = Field(description="npy, float32 (h, w)")


class FeatureChannel(Model):
    channel: int
    activation: float = Field(description="mean over the map")
    weight: float | None = Field(description="Grad-CAM's, for the sheet's label")
    share: float = Field(description="of all channels' activation, or of what speaks for the label")


class FeatureSheet(Model):
    """The most active channels, or with a label those that carry most of its heat; the first is top left."""

    label: str | None
    channels: list[FeatureChannel]
    picture: StoredFile = Field(description="PNG")


class ExplainPictureResult(Model):
    model: str
    engine: str = Field(default="torch f32", description="what ran the network's body, and its precision")
    max_abs_diff: float | None = Field(
        default=None,
        description="how far that engine's heat maps were from torch's in f32, relative to the map's range: "
        "the "
        "largest over pictures of the model's evaluation; null: it is torch in f32, or nothing was measured",
    )
    predictions: list[LabelProbability]
    picture: StoredFile
    explanations: list[Explanation]
    difference: LabelDifference | None = None
    features: list[FeatureSheet] = Field(default_factory=list)
    panel: StoredFile | None = Field(
        default=None,
        description="PNG: the picture and every drawing side by side, with labels and probabilities",
    )
    animation: StoredFile | None = Field(
        default=None, description="GIF: the first two labels' overlays fading into each other"
    )
