"""``evaluation.json``: how a model was judged, with the answer for every picture; published beside the model.

Written by the training's child process, read by whoever reports on a model. What is derived from the rows is in it
too, so that no reader has to count again. Every number is finite: a figure that does not exist is null.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from reel_shared.contracts.attention import Attention
from reel_shared.contracts.base import Finite, Label, LabelProbability, ObjectKey, Sha256, Source
from reel_shared.contracts.trainings import Metrics
from reel_shared.errors import Corrupt

MAX_BYTES = 2**28
Interval = tuple[float, float]


class EvaluatedPicture(Finite):
    """One validation or probe picture, and what the model says of it in a single view, as serving answers."""

    id: str
    key: ObjectKey
    sha256: Sha256
    label: Label
    source: Source
    style: str = ""
    probe: str = Field(default="", description="its probe set; empty for validation pictures")
    film: str | None = Field(default=None, description="the movie's id, of frames")
    group: str = Field(
        description="what it hangs together with: pictures of one group are no independent proof"
    )
    predicted: Label
    right: bool
    top: list[LabelProbability] = Field(
        description="the three likeliest, best first; probabilities by the card's temperature"
    )
    true_probability: float = Field(description="of its own label")
    loss: float = Field(description="negative logarithm of that")


class ReliabilityBin(Finite):
    """Pictures of like confidence: in a calibrated model ``confidence`` and ``accuracy`` are equal."""

    low: float
    high: float
    images: int
    confidence: float | None = Field(description="mean; null without pictures")
    accuracy: float | None


class Scaling(Finite):
    """One part's figures before and after its logits are divided by the temperature."""

    images: int
    log_loss: float
    log_loss_scaled: float
    calibration_error: float
    calibration_error_scaled: float
    reliability: list[ReliabilityBin]
    reliability_scaled: list[ReliabilityBin]


class Calibration(Finite):
    """Temperature scaling (Guo et al. 2017).

    ``temperature`` is fitted on all validation pictures. What is said of validation pictures after scaling comes from
    temperatures that were fitted without the picture's group, in ``folds`` folds; probe sets are scaled by
    ``temperature``, which never saw them.
    """

    temperature: float = Field(gt=0, description="the card's: 1 leaves the logits as they are")
    folds: int = Field(description="0 where nothing was fitted")
    note: str = Field(description="why the temperature is 1; empty where it was fitted")
    parts: dict[str, Scaling] = Field(description="all | movie | web | web:<style> | probe:<name>")


class CoveragePoint(Finite):
    """What happens when answers less confident than ``threshold`` are withheld."""

    threshold: float
    coverage: float = Field(description="share of the pictures that get an answer")
    accuracy: float = Field(description="of those answers")


class Abstention(Finite):
    """When to say "not sure". Judged on validation pictures, at the confidences after cross-fitted scaling."""

    not_sure_below: float = Field(ge=0, le=1, description="the card's")
    wanted_accuracy: float
    from_data: bool = Field(description="false: the data could not tell, and the threshold is the default")
    note: str = Field(description="why the default was taken; empty where the data chose")
    coverage: float = Field(description="of validation pictures at this threshold")
    accuracy: float | None = Field(description="of the answers given at this threshold; null without any")
    curve: list[CoveragePoint] = Field(description="by rising threshold; at most a hundred points")


class ConfusionCell(Finite):
    """How often pictures of ``label`` were taken for ``predicted``; ``ids`` are the surest of them."""

    label: Label
    predicted: Label
    images: int
    ids: list[str]


class Confusion(Finite):
    """``counts[true][predicted]``, both in the order of the classes; a cell for each count above zero.

    ``confused`` are the cells off the diagonal, the most frequent first.
    """

    counts: list[list[int]]
    cells: list[ConfusionCell]
    confused: list[ConfusionCell]


class HeatCell(Finite):
    """The accuracy on one class's pictures of one film, source or probe set."""

    kind: Literal["film", "source", "probe"]
    name: str
    label: Label
    images: int
    accuracy: float


class Gain(Finite):
    """Accuracy by test-time augmentation less that in a single view, on the same pictures."""

    difference: float
    interval: Interval | None = Field(description="95 %, by drawing whole groups anew")


class AugmentedViews(Finite):
    """Test-time augmentation as fastai's ``Learner.tta`` does it; its figures are the metrics ``tta:<part>``."""

    passes: int = Field(description="augmented views of each picture, whose probabilities are averaged")
    beta: float = Field(description="weight of the plain view beside that mean")
    gain: dict[str, Gain]


class Evaluation(Finite):
    format: Literal[1] = 1
    model_id: str
    dataset_version_id: str
    manifest_sha256: Sha256
    recipe: str
    architecture: str
    classes: list[Label]
    size: int = Field(description="side of the square pictures that were judged, pixels")
    held_out: bool = Field(
        description="false: it was trained on these pictures too; no figure here is a proof"
    )
    certified: bool
    notes: list[str]
    created_at: AwareDatetime
    metrics: dict[str, Metrics] = Field(
        description="the card's: all | movie | web | web:<style> | probe:<name> in a single view at "
        "temperature 1; "
        "tta:<any of these>; variant:<name> on stored variants of validation pictures, which are no further proof"
    )
    tta: AugmentedViews | None = Field(default=None, description="none where the recipe asks for 0 passes")
    calibration: Calibration
    abstention: Abstention
    confusion: dict[str, Confusion] = Field(description="all | movie | web | probe:<name>")
    heat_map: list[HeatCell]
    attention: Attention | None = Field(
        default=None, description="where it looks, by class; none in evaluations from before it was looked at"
    )
    pictures: list[EvaluatedPicture] = Field(description="validation pictures, then probe sets")


def read_evaluation(data: bytes) -> Evaluation:
    """Parse ``evaluation.json``. Raises Corrupt with what is wrong with it."""
    try:
        return Evaluation.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Corrupt(f"The evaluation cannot be read: {where or 'it'} {first['msg']}.") from error
