"""The pipeline on one page: every job kind, its queue, its request and its result.

APIs validate requests with these models and workers fill in the results; nothing else passes between services.
One kind is one word: ``EXTRACT_FRAMES`` here, ``extract_frames`` in the service's ``tasks.py`` and in its domain.
"""

from __future__ import annotations

from typing import NamedTuple

from reel_shared.contracts.attention import (
    Attention,
    AttentionDifference,
    ClassAttention,
    CompareAttentionRequest,
    CompareAttentionResult,
    ModelLook,
    Shortcut,
)
from reel_shared.contracts.base import (
    ACTIVE,
    RECIPE_PATTERN,
    TERMINAL,
    Counts,
    DatasetName,
    DropFolder,
    ImageState,
    JsonObject,
    Label,
    LabelProbability,
    Model,
    ObjectKey,
    Sha256,
    Source,
    StoredFile,
    Variant,
    spelled,
)
from reel_shared.contracts.borders import Artefact, Bar, BordersReport
from reel_shared.contracts.curation import (
    RankSubjectsRequest,
    RankSubjectsResult,
    TakeDownPicturesRequest,
    TakeDownPicturesResult,
)
from reel_shared.contracts.evaluations import Evaluation, read_evaluation
from reel_shared.contracts.explanation_batches import (
    MOST_EXPLAINED,
    ExplainPartRequest,
    ExplainPartResult,
    ExplainPicturesRequest,
    ExplainPicturesResult,
    WantedPicture,
)
from reel_shared.contracts.explanations import (
    ExplainPictureRequest,
    ExplainPictureResult,
    Explanation,
    ExplanationOptions,
    Faithfulness,
    FeatureChannel,
    FeatureSheet,
    LabelDifference,
    ShuffledLayer,
)
from reel_shared.contracts.exports import (
    ExportDatasetRequest,
    ExportDatasetResult,
    MovedImage,
    VersionDiff,
)
from reel_shared.contracts.imports import ImportDatasetRequest, ImportDatasetResult
from reel_shared.contracts.label_checks import CheckLabelsRequest, CheckLabelsResult
from reel_shared.contracts.leak_gaps import MeasureLeakGapRequest, MeasureLeakGapResult
from reel_shared.contracts.learning_rates import FindLearningRateRequest, FindLearningRateResult
from reel_shared.contracts.movies import (
    MAX_PARTS,
    ExtractFramesRequest,
    ExtractFramesResult,
    ExtractRangeRequest,
    ExtractRangeResult,
)
from reel_shared.contracts.predictions import (
    Prediction,
    PredictPartRequest,
    PredictPartResult,
    PredictPicturesRequest,
    PredictPicturesResult,
)
from reel_shared.contracts.quality import FrameChecks, QualityChecks
from reel_shared.contracts.recipes import Recipe
from reel_shared.contracts.registry import (
    CANDIDATE,
    SHADOW,
    AliasReason,
    Disagreement,
    Gate,
    GateReport,
    GateState,
    PromoteRequest,
    RemarkRequest,
    ShadowReport,
    ShadowRequest,
    TagsRequest,
)
from reel_shared.contracts.trainings import (
    CurvePoint,
    Metrics,
    StageResult,
    TrainingCheckpoint,
    TrainModelRequest,
    TrainModelResult,
)
from reel_shared.contracts.variants import (
    MakeVariantsRequest,
    MakeVariantsResult,
)
from reel_shared.contracts.versions import (
    BuildDatasetVersionRequest,
    BuildDatasetVersionResult,
    SplitCertificate,
)
from reel_shared.contracts.web_pictures import (
    CollectPicturesRequest,
    CollectPicturesResult,
)

__all__ = [
    "ACTIVE",
    "BUILD_DATASET_VERSION",
    "CANDIDATE",
    "CHECK_LABELS",
    "COLLECT_PICTURES",
    "COMPARE_ATTENTION",
    "EXPLAIN_PART",
    "EXPLAIN_PICTURE",
    "EXPLAIN_PICTURES",
    "EXPORT_DATASET",
    "EXTRACT_FRAMES",
    "EXTRACT_RANGE",
    "FIND_LEARNING_RATE",
    "IMPORT_DATASET",
    "KINDS",
    "MAKE_VARIANTS",
    "MAX_PARTS",
    "MEASURE_LEAK_GAP",
    "MOST_EXPLAINED",
    "PART_KINDS",
    "PREDICT_PART",
    "PREDICT_PICTURES",
    "QUEUES",
    "RANK_SUBJECTS",
    "RECIPE_PATTERN",
    "SHADOW",
    "TAKE_DOWN_PICTURES",
    "TERMINAL",
    "TRAIN_MODEL",
    "AliasReason",
    "Artefact",
    "Attention",
    "AttentionDifference",
    "Bar",
    "BordersReport",
    "BuildDatasetVersionRequest",
    "BuildDatasetVersionResult",
    "CheckLabelsRequest",
    "CheckLabelsResult",
    "ClassAttention",
    "CollectPicturesRequest",
    "CollectPicturesResult",
    "CompareAttentionRequest",
    "CompareAttentionResult",
    "Counts",
    "CurvePoint",
    "DatasetName",
    "Disagreement",
    "DropFolder",
    "Evaluation",
    "ExplainPartRequest",
    "ExplainPartResult",
    "ExplainPictureRequest",
    "ExplainPictureResult",
    "ExplainPicturesRequest",
    "ExplainPicturesResult",
    "Explanation",
    "ExplanationOptions",
    "ExportDatasetRequest",
    "ExportDatasetResult",
    "ExtractFramesRequest",
    "ExtractFramesResult",
    "ExtractRangeRequest",
    "ExtractRangeResult",
    "Faithfulness",
    "FeatureChannel",
    "FeatureSheet",
    "FindLearningRateRequest",
    "FindLearningRateResult",
    "FrameChecks",
    "Gate",
    "GateReport",
    "GateState",
    "ImageState",
    "ImportDatasetRequest",
    "ImportDatasetResult",
    "JsonObject",
    "Kind",
    "Label",
    "LabelDifference",
    "LabelProbability",
    "MakeVariantsRequest",
    "MakeVariantsResult",
    "MeasureLeakGapRequest",
    "MeasureLeakGapResult",
    "Metrics",
    "Model",
    "ModelLook",
    "MovedImage",
    "ObjectKey",
    "PredictPartRequest",
    "PredictPartResult",
    "PredictPicturesRequest",
    "PredictPicturesResult",
    "Prediction",
    "PromoteRequest",
    "QualityChecks",
    "RankSubjectsRequest",
    "RankSubjectsResult",
    "Recipe",
    "RemarkRequest",
    "Sha256",
    "ShadowReport",
    "ShadowRequest",
    "Shortcut",
    "ShuffledLayer",
    "Source",
    "SplitCertificate",
    "StageResult",
    "StoredFile",
    "TagsRequest",
    "TakeDownPicturesRequest",
    "TakeDownPicturesResult",
    "TrainModelRequest",
    "TrainModelResult",
    "TrainingCheckpoint",
    "Variant",
    "VersionDiff",
    "WantedPicture",
    "read_evaluation",
    "spelled",
]


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
EXTRACT_RANGE = Kind("ingest.extract_range", ExtractRangeRequest, ExtractRangeResult, 3, 6 * 3600)
COLLECT_PICTURES = Kind("ingest.collect_pictures", CollectPicturesRequest, CollectPicturesResult, 3, 2 * 3600)
IMPORT_DATASET = Kind("ingest.import_dataset", ImportDatasetRequest, ImportDatasetResult, 3, 6 * 3600)
RANK_SUBJECTS = Kind("ingest.rank_subjects", RankSubjectsRequest, RankSubjectsResult, 3, 3600)
TAKE_DOWN_PICTURES = Kind(
    "ingest.take_down_pictures", TakeDownPicturesRequest, TakeDownPicturesResult, 10, 3600
)
MAKE_VARIANTS = Kind("augment.make_variants", MakeVariantsRequest, MakeVariantsResult, 3, 6 * 3600)
BUILD_DATASET_VERSION = Kind(
    "trainer.build_dataset_version", BuildDatasetVersionRequest, BuildDatasetVersionResult, 3, 3600
)
TRAIN_MODEL = Kind("trainer.train_model", TrainModelRequest, TrainModelResult, 3, 48 * 3600)
EXPORT_DATASET = Kind("trainer.export_dataset", ExportDatasetRequest, ExportDatasetResult, 3, 6 * 3600)
CHECK_LABELS = Kind("trainer.check_labels", CheckLabelsRequest, CheckLabelsResult, 3, 2 * 3600)
MEASURE_LEAK_GAP = Kind("trainer.measure_leak_gap", MeasureLeakGapRequest, MeasureLeakGapResult, 3, 24 * 3600)
FIND_LEARNING_RATE = Kind(
    "trainer.find_learning_rate", FindLearningRateRequest, FindLearningRateResult, 3, 2 * 3600
)
PREDICT_PICTURES = Kind("inference.predict_pictures", PredictPicturesRequest, PredictPicturesResult, 3, 3600)
PREDICT_PART = Kind("inference.predict_part", PredictPartRequest, PredictPartResult, 3, 3600)
EXPLAIN_PICTURE = Kind("explainer.explain_picture", ExplainPictureRequest, ExplainPictureResult, 3, 300)
EXPLAIN_PICTURES = Kind(
    "explainer.explain_pictures", ExplainPicturesRequest, ExplainPicturesResult, 3, 6 * 3600
)
EXPLAIN_PART = Kind("explainer.explain_part", ExplainPartRequest, ExplainPartResult, 3, 3600)
COMPARE_ATTENTION = Kind(
    "explainer.compare_attention", CompareAttentionRequest, CompareAttentionResult, 3, 3600
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        EXTRACT_FRAMES,
        EXTRACT_RANGE,
        COLLECT_PICTURES,
        IMPORT_DATASET,
        RANK_SUBJECTS,
        TAKE_DOWN_PICTURES,
        MAKE_VARIANTS,
        BUILD_DATASET_VERSION,
        TRAIN_MODEL,
        EXPORT_DATASET,
        CHECK_LABELS,
        MEASURE_LEAK_GAP,
        FIND_LEARNING_RATE,
        PREDICT_PICTURES,
        PREDICT_PART,
        EXPLAIN_PICTURE,
        EXPLAIN_PICTURES,
        EXPLAIN_PART,
        COMPARE_ATTENTION,
    )
}
PART_KINDS = frozenset({EXTRACT_RANGE.name, PREDICT_PART.name, EXPLAIN_PART.name})
"""Kinds that only run as parts of another job: no endpoint takes them."""
QUEUES: tuple[str, ...] = tuple(dict.fromkeys(kind.queue for kind in KINDS.values()))
