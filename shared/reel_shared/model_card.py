"""``model.json``, the card beside a model's files: what it is, how pictures go in, and the hash of every file.

Written by the trainer, read by inference and explainer before they load anything. Imports no torch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError, model_validator

from reel_shared.contracts import Label, Metrics, Model, Sha256
from reel_shared.errors import Corrupt
from reel_shared.software import Software

CARD = "model.json"
WEIGHTS = "weights.safetensors"
GRAPH = "model.onnx"
INT8_GRAPH = "model.int8.onnx"
"""The graph once more with quantised weights and activations; only where it was asked for and passed its gate."""
EVALUATION = "evaluation.json"
REPORT_HTML = "report.html"
REPORT_JSON = "report.json"
NOT_SURE_BELOW = 0.70
"""How probable an answer must be to be sure of it where nothing was measured; that of the article's demo."""

EngineName = Literal["openvino", "onnxruntime"]
EnginePrecision = Literal["f32", "bf16", "int8"]
Channel = tuple[float, float, float]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$")]


class FileFacts(Model):
    sha256: Sha256
    size: int = Field(ge=0, description="bytes")


class Agreement(Model):
    """How one engine at one precision answers, beside torch in fp32; measured when the model was published.

    Asked are all pictures that judge the model: validation originals, probe sets and stored variants.
    """

    engine: EngineName
    precision: EnginePrecision
    version: str = Field(default="", description="of the engine that was asked")
    pictures: int = Field(ge=0)
    same_answer: float = Field(
        ge=0, le=1, description="part of the pictures with torch's most probable class"
    )
    ties: int = Field(
        default=0,
        ge=0,
        description="pictures with another class that torch itself holds for as probable, to a hundredth",
    )
    probability_difference: float = Field(ge=0, description="largest, over all pictures and classes")
    accuracy_loss: float | None = Field(
        default=None, description="on validation originals and probe sets; below 0 it gained"
    )
    passed: bool = Field(description="whether it may serve")
    says: str = Field(default="", description="the verdict with its bounds, for people")


class ExpectedAnswers(Model):
    """What a model answers to its validation originals, each seen once: what live answers are held against."""

    shares: dict[Label, float] = Field(description="part of the pictures by the label that was likeliest")
    not_sure: float = Field(ge=0, le=1, description="part of them below ``not_sure_below``")
    confidence: float = Field(ge=0, le=1, description="mean probability of the likeliest label")


class ModelCard(Model):
    """``mean`` and ``std`` are per RGB channel of pictures scaled to 0..1; the exported graph has them folded in."""

    # A replica that is upgraded last must be able to serve what a newer trainer publishes.
    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    id: str
    architecture: str
    classes: list[Label] = Field(min_length=1, description="in the order of the network's outputs")
    size: int = Field(gt=0, le=2048, description="side of the square picture that goes in, pixels")
    mean: Channel
    std: Channel
    preprocessing: str = Field(description="name of the function that makes the square: images.PREPROCESSING")
    temperature: float = Field(default=1.0, gt=0, description="logits are divided by it before softmax")
    not_sure_below: float = Field(
        default=NOT_SURE_BELOW,
        ge=0,
        le=1,
        description="an answer less probable than this is none to be sure of",
    )
    recipe: dict[str, Any]
    weights: str = Field(default="", description="what training started from")
    dataset_version_id: str
    manifest_sha256: Sha256
    precision: Literal["fp32", "fp16", "bf16"] = Field(description="the effective one while training")
    metrics: dict[str, Metrics] = Field(default_factory=dict)
    held_out: bool = Field(
        description="false: it was trained on its validation pictures too; metrics are no proof"
    )
    certified: bool = Field(
        default=True, description="false: its dataset version leaks and was trained on all the same"
    )
    certificate_sha256: Sha256 | None = Field(
        default=None,
        description="hash of the leak certificate's file; none for versions from before it was stored",
    )
    notes: list[str] = Field(default_factory=list, description="what to know before its metrics are believed")
    graph_difference: float | None = Field(
        default=None,
        ge=0,
        description="largest difference of logits, ONNX from torch, relative to the largest; as measured when exported",
    )
    expected: ExpectedAnswers | None = Field(default=None, description="none on older cards")
    agreement: list[Agreement] = Field(
        default_factory=list, description="engines and precisions that were measured; none on older cards"
    )
    software: Software = Field(default=Software(), description="what trained it")
    files: dict[FileName, FileFacts] = Field(default_factory=dict)
    created_at: AwareDatetime

    @model_validator(mode="after")
    def _usable(self) -> ModelCard:
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        return self

    def agreement_of(self, engine: EngineName, precision: EnginePrecision) -> Agreement | None:
        """Return what was measured of an engine at a precision; None when nothing was."""
        found = (each for each in self.agreement if (each.engine, each.precision) == (engine, precision))
        return next(found, None)

    def verify(self, directory: Path) -> None:
        """Raise Corrupt unless every listed file lies in ``directory`` with its size and hash."""
        for name, facts in self.files.items():
            path = directory / name
            if not path.is_file():
                raise Corrupt(f"Model {self.id} lacks its file {name}; fetch or export it again.")
            if path.stat().st_size != facts.size or facts_of(path).sha256 != facts.sha256:
                raise Corrupt(f"Model {self.id}: {name} does not match its hash; fetch or export it again.")


def facts_of(path: Path) -> FileFacts:
    """Return size and SHA-256 of a file; it is read in parts."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return FileFacts(sha256=digest.hexdigest(), size=path.stat().st_size)


def read_card(data: bytes) -> ModelCard:
    """Parse ``model.json``; Corrupt says what is wrong with it."""
    try:
        return ModelCard.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Corrupt(f"The model card cannot be read: {where or 'it'} {first['msg']}.") from error


def load_model_card(directory: Path) -> ModelCard:
    """Read and verify the card in ``directory``. Raises Corrupt."""
    path = directory / CARD
    if not path.is_file():
        raise Corrupt(f"There is no {CARD} in {directory.name}; fetch or export the model again.")
    card = read_card(path.read_bytes())
    card.verify(directory)
    return card
