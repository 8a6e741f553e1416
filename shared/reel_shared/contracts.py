"""The pipeline on one page: every job kind, its queue, its request and its result.

APIs validate requests with these models and workers fill in the results; nothing else passes between services.
One kind is one word: ``EXTRACT_FRAMES`` here, ``extract_frames`` in the service's ``tasks.py`` and in its domain.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _spelled(pattern: str, advice: str) -> AfterValidator:
    """Refuse text that does not match with a sentence for people; a schema shows the pattern beside it."""
    wanted = re.compile(pattern)

    def check(text: str) -> str:
        if not wanted.fullmatch(text):
            raise ValueError(advice)
        return text

    return AfterValidator(check)


ACTIVE = "active"
"""Stands for the id of the model that serves now."""
TERMINAL = frozenset({"succeeded", "failed", "canceled"})
"""The states that a job never leaves."""

_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_NAME_ADVICE = (
    "Use lower-case letters, digits, - and _, at most 63 characters, beginning with a letter or a digit."
)
_KEY = r"^[a-z]+/[A-Za-z0-9_./-]{1,400}$"
_KEY_ADVICE = "Name the file by its key, such as uploads/ab/abcdef.jpg; POST /v1/uploads answers with one."
_DROP = r"^(?!.*\.\.)(drop(/[A-Za-z0-9_.-]{1,100}){0,8}/?)?$"
_DROP_ADVICE = (
    "Name a folder under drop/, such as drop/kiki; pictures elsewhere in the bucket are not collected."
)
_RECIPE = r"^[a-z0-9][a-z0-9_-]{0,40}$"

Label = Annotated[
    str,
    _spelled(_NAME, _NAME_ADVICE),
    Field(description="class name, as in folder names", json_schema_extra={"pattern": _NAME}),
]
DatasetName = Annotated[str, _spelled(_NAME, _NAME_ADVICE), Field(json_schema_extra={"pattern": _NAME})]
ObjectKey = Annotated[
    str,
    _spelled(_KEY, _KEY_ADVICE),
    Field(description="key in the bucket", json_schema_extra={"pattern": _KEY}),
]
DropFolder = Annotated[str, _spelled(_DROP, _DROP_ADVICE), Field(json_schema_extra={"pattern": _DROP})]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Source(StrEnum):
    MOVIE = "movie"
    WEB = "web"


class Variant(StrEnum):
    """What a stored picture is: the original, or one of the six scikit-image variants."""

    ORIGINAL = "original"
    GRAYSCALE = "grayscale"
    INVERT = "invert"
    NOISE = "noise"
    INTENSITY = "intensity"
    INTENSITY_INVERT = "intensity-invert"
    LOG = "log"
    SIGMOID = "sigmoid"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class StoredFile(Model):
    """An object in the bucket. The API adds ``url``, a presigned link, whenever it shows one."""

    key: str
    media_type: str
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256
    url: str | None = None


# --- ingest: films ----------------------------------------------------------------------------------------


class ExtractFramesRequest(Model):
    dataset: DatasetName = "default"
    label: Label
    title: str = Field(default="", max_length=200, description="the film's name, for people")
    key: ObjectKey = Field(description="where the film lies in the bucket")
    every_frames: int | None = Field(
        default=None, ge=1, description="take one frame in so many; 48 unless said"
    )
    every_seconds: float | None = Field(default=None, gt=0, description="or one frame in so many seconds")
    start_seconds: float = Field(default=0.0, ge=0)
    end_seconds: float | None = Field(default=None, gt=0)
    width: int | None = Field(default=None, ge=16, le=7680)
    height: int | None = Field(default=None, ge=16, le=4320)
    keep_aspect: bool = Field(default=True, description="fit inside width x height; else stretch to it")
    quality: int = Field(default=90, ge=1, le=100, description="JPEG quality")
    crop_borders: Literal["auto", "none"] | int = Field(
        default="auto",
        description="measure constant black bars and cut them; or cut so many pixels on each side",
    )
    near_distance: int = Field(
        default=4, ge=0, le=16, description="pHash bits within which a frame is a duplicate"
    )

    @model_validator(mode="after")
    def _one_step(self) -> ExtractFramesRequest:
        if self.every_frames is not None and self.every_seconds is not None:
            raise ValueError("give every_frames or every_seconds, not both")
        if self.every_frames is None and self.every_seconds is None:
            self.every_frames = 48
        if self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise ValueError("end_seconds must lie after start_seconds")
        return self


class Counts(Model):
    """What became of every candidate: kept + duplicates + refused = seen."""

    seen: int = 0
    kept: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    refused: dict[str, int] = Field(default_factory=dict, description="how many, by reason")


class ExtractFramesResult(Model):
    movie_id: str
    counts: Counts
    scenes: int
    duration_seconds: float
    frame_rate: float
    codec: str
    width: int
    height: int
    crop: tuple[int, int, int, int] = Field(description="pixels cut: top, right, bottom, left")


# --- ingest: web pictures ---------------------------------------------------------------------------------


class CollectPicturesRequest(Model):
    dataset: DatasetName = "default"
    label: Label
    provider: Literal["openverse", "urls", "folder", "zip"] = "openverse"
    query: str = Field(default="", max_length=200)
    style: str = Field(
        default="", max_length=40, description="what the query asked for: fanart, sketch, drawing, …"
    )
    urls: list[str] = Field(default_factory=list, max_length=5000)
    key: ObjectKey | None = Field(default=None, description="the zip in the bucket")
    folder: DropFolder = Field(
        default="",
        description="under `drop/`, the bucket's place for people's own files; for the provider `folder`",
    )
    licence: str = Field(
        default="", max_length=100, description="of urls, folder and zip pictures, when known"
    )
    attribution: str = Field(default="", max_length=500)
    limit: int = Field(default=200, ge=1, le=5000)
    near_distance: int = Field(default=6, ge=0, le=16)
    augment: bool = Field(default=True, description="make the six variants afterwards")

    @model_validator(mode="after")
    def _provider_has_input(self) -> CollectPicturesRequest:
        needs = {"openverse": self.query, "urls": self.urls, "folder": self.folder, "zip": self.key}
        if not needs[self.provider]:
            wanted = {"openverse": "query", "zip": "key"}.get(self.provider, self.provider)
            raise ValueError(f"provider {self.provider!r} needs {wanted!r}")
        return self


class CollectPicturesResult(Model):
    collection_id: str
    provider: str
    counts: Counts
    licences: dict[str, int] = Field(default_factory=dict)


# --- augment ----------------------------------------------------------------------------------------------


class MakeVariantsRequest(Model):
    dataset: DatasetName = "default"
    label: Label | None = Field(default=None, description="only this class")
    collection_id: str | None = Field(default=None, description="only this web collection")
    seed: int = Field(default=42, description="variants that already stand are kept, whatever their seed")


class MakeVariantsResult(Model):
    sources: int
    made: dict[str, int] = Field(description="variants made now, by kind")
    already: int = Field(description="variants that stood from an earlier run")
    skipped_low_contrast: dict[str, int]


# --- trainer ----------------------------------------------------------------------------------------------


class BuildDatasetVersionRequest(Model):
    dataset: DatasetName = "default"
    train_sources: list[Source] = Field(default=[Source.MOVIE, Source.WEB], min_length=1)
    variants: bool = Field(default=True, description="train on the six variants too")
    valid_fraction: float = Field(default=0.2, gt=0, lt=1)
    near_distance: int = Field(
        default=6, ge=0, le=16, description="pHash bits that keep two pictures on one side"
    )
    seed: int = 42


class SplitCertificate(Model):
    """Proof that no scene, lineage or near duplicate lies on both sides of the split."""

    certified: bool
    shared_scenes: int
    shared_lineages: int
    near_duplicates_across: int
    nearest_distance_across: int | None = Field(
        description="smallest pHash distance between train and valid, bits"
    )
    near_distance: int
    groups: int
    warnings: list[str] = Field(default_factory=list)


class BuildDatasetVersionResult(Model):
    dataset_version_id: str
    manifest: StoredFile
    classes: list[str]
    images: dict[str, dict[str, dict[str, int]]] = Field(description="split -> source -> class -> images")
    certificate: SplitCertificate


class TrainModelRequest(Model):
    dataset_version_id: str
    recipe: Annotated[str, _spelled(_RECIPE, "Name a recipe that GET /v1/recipes lists.")] = Field(
        default="article", json_schema_extra={"pattern": _RECIPE}
    )
    weights: str = Field(
        default="recipe",
        description="recipe | none | package | torchvision | a key of a safetensors file in the bucket",
    )
    seed: int = 42
    activate: bool = Field(default=False, description="serve the model when it is done")


class Metrics(Model):
    accuracy: float
    images: int
    log_loss: float | None = None
    per_class: dict[str, float] = Field(default_factory=dict)


class StageResult(Model):
    name: str
    size: int
    batch_size: int
    epochs: int
    frozen: bool
    accuracy: float
    train_loss: float
    valid_loss: float
    seconds: float
    images_per_second: float


class TrainModelResult(Model):
    model_id: str
    dataset_version_id: str
    recipe: str
    architecture: str
    precision: Literal["fp32", "fp16", "bf16"] = Field(description="the effective one")
    device: str
    stages: list[StageResult]
    metrics: dict[str, Metrics] = Field(
        description="all | movie | web | web:<style> -> metrics on validation originals"
    )
    epochs: list[dict[str, float | str]] = Field(description="one row per epoch")
    files: dict[str, StoredFile]
    seconds: float


# --- inference --------------------------------------------------------------------------------------------


class PredictPicturesRequest(Model):
    model: str = "active"
    keys: list[ObjectKey] = Field(min_length=1, max_length=10_000)
    top_k: int = Field(default=3, ge=1, le=100)


class LabelProbability(Model):
    label: str
    probability: float


class Prediction(Model):
    model: str
    predictions: list[LabelProbability]


class PredictPicturesResult(Model):
    model: str
    count: int
    failed: int
    results: StoredFile = Field(description="JSONL, one line per input: key, predictions or error")


# --- explainer --------------------------------------------------------------------------------------------


class ExplainPictureRequest(Model):
    model: str = "active"
    key: ObjectKey
    labels: list[str] = Field(default_factory=list, max_length=10, description="none: the predicted label")
    methods: list[Literal["gradcam", "guided"]] = Field(default=["gradcam", "guided"], min_length=1)


class Explanation(Model):
    label: str
    probability: float
    gradcam: StoredFile | None = None
    guided: StoredFile | None = None
    border_share: float | None = Field(
        default=None, description="share of the heat in the outer tenth of the picture"
    )


class ExplainPictureResult(Model):
    model: str
    predictions: list[LabelProbability]
    picture: StoredFile
    explanations: list[Explanation]


# --- the table --------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A job kind. ``name`` is also the Celery task's name; the part before the dot is the queue."""

    name: str
    request: type[Model]
    result: type[Model]
    max_attempts: int
    time_limit: float
    """Seconds of running after which the job fails with ``timeout``."""

    @property
    def queue(self) -> str:
        return self.name.partition(".")[0]


EXTRACT_FRAMES = Kind("ingest.extract_frames", ExtractFramesRequest, ExtractFramesResult, 3, 6 * 3600)
COLLECT_PICTURES = Kind("ingest.collect_pictures", CollectPicturesRequest, CollectPicturesResult, 3, 2 * 3600)
MAKE_VARIANTS = Kind("augment.make_variants", MakeVariantsRequest, MakeVariantsResult, 3, 6 * 3600)
BUILD_DATASET_VERSION = Kind(
    "trainer.build_dataset_version", BuildDatasetVersionRequest, BuildDatasetVersionResult, 3, 3600
)
TRAIN_MODEL = Kind("trainer.train_model", TrainModelRequest, TrainModelResult, 3, 48 * 3600)
PREDICT_PICTURES = Kind("inference.predict_pictures", PredictPicturesRequest, PredictPicturesResult, 3, 3600)
EXPLAIN_PICTURE = Kind("explainer.explain_picture", ExplainPictureRequest, ExplainPictureResult, 3, 300)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        EXTRACT_FRAMES,
        COLLECT_PICTURES,
        MAKE_VARIANTS,
        BUILD_DATASET_VERSION,
        TRAIN_MODEL,
        PREDICT_PICTURES,
        EXPLAIN_PICTURE,
    )
}
QUEUES: tuple[str, ...] = tuple(dict.fromkeys(kind.queue for kind in KINDS.values()))

JsonObject = dict[str, Any]
