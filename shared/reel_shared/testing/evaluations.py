"""How a model could have been judged, made of a few pictures and answers, for tests of what shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from reel_shared.contracts import Evaluation, LabelProbability
from reel_shared.contracts.attention import Attention, ClassAttention, Shortcut
from reel_shared.contracts.base import Source
from reel_shared.contracts.evaluations import (
    Abstention,
    Calibration,
    Confusion,
    ConfusionCell,
    CoveragePoint,
    EvaluatedPicture,
    ReliabilityBin,
    Scaling,
)

VERSION = "dsv_1"


class Judged(NamedTuple):
    """A stored picture, what it shows, and what the model says of it."""

    id: str
    key: str
    label: str
    predicted: str
    probability: float
    source: Source = Source.MOVIE
    probe: str = ""


def evaluation(
    model_id: str, classes: Sequence[str], judged: Sequence[Judged], *, alarm: bool = False
) -> Evaluation:
    """Return an evaluation that fits the pictures; its calibration and attention are made up."""
    parts = {"all": [each for each in judged if not each.probe]}
    for each in judged:
        parts.setdefault(f"probe:{each.probe}" if each.probe else each.source, []).append(each)
    return Evaluation(
        model_id=model_id,
        dataset_version_id=VERSION,
        manifest_sha256="0" * 64,
        recipe="quick",
        architecture="resnet18",
        classes=list(classes),
        size=128,
        held_out=True,
        certified=True,
        notes=[],
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        metrics={},
        calibration=Calibration(
            temperature=1.3,
            folds=5,
            note="",
            parts={name: _scaling(len(found)) for name, found in parts.items()},
        ),
        abstention=Abstention(
            not_sure_below=0.62,
            wanted_accuracy=0.95,
            from_data=True,
            note="",
            coverage=0.9,
            accuracy=0.97,
            curve=[CoveragePoint(threshold=0.62, coverage=0.9, accuracy=0.97)],
        ),
        confusion={name: _confusion(classes, found) for name, found in parts.items()},
        heat_map=[],
        attention=_attention(classes, alarm=alarm),
        pictures=[_picture(each, classes) for each in judged],
    )


def _picture(judged: Judged, classes: Sequence[str]) -> EvaluatedPicture:
    right = judged.label == judged.predicted
    rest = (1 - judged.probability) / max(1, len(classes) - 1)
    true = judged.probability if right else rest
    others = [label for label in (judged.label, *classes) if label != judged.predicted]
    top = [LabelProbability(label=judged.predicted, probability=judged.probability)]
    top += [LabelProbability(label=label, probability=rest) for label in dict.fromkeys(others)][:2]
    return EvaluatedPicture(
        id=judged.id,
        key=judged.key,
        sha256="0" * 64,
        label=judged.label,
        source=judged.source,
        probe=judged.probe,
        group=judged.id,
        predicted=judged.predicted,
        right=right,
        top=top,
        true_probability=true,
        loss=-math.log(true),
    )


def _confusion(classes: Sequence[str], judged: Sequence[Judged]) -> Confusion:
    cells = [
        ConfusionCell(label=label, predicted=predicted, images=len(ids), ids=ids)
        for label in classes
        for predicted in classes
        if (ids := [each.id for each in judged if (each.label, each.predicted) == (label, predicted)])
    ]
    found = {(cell.label, cell.predicted): cell.images for cell in cells}
    return Confusion(
        counts=[[found.get((label, predicted), 0) for predicted in classes] for label in classes],
        cells=cells,
        confused=sorted(
            (cell for cell in cells if cell.label != cell.predicted), key=lambda cell: -cell.images
        ),
    )


def _scaling(images: int) -> Scaling:
    def bins(gain: float) -> list[ReliabilityBin]:
        return [
            ReliabilityBin(
                low=low, high=low + 0.25, images=images // 4 + 1, confidence=low + 0.12, accuracy=low + gain
            )
            for low in (0.0, 0.25, 0.5, 0.75)
        ]

    return Scaling(
        images=images,
        log_loss=0.4,
        log_loss_scaled=0.3,
        calibration_error=0.09,
        calibration_error_scaled=0.03,
        reliability=bins(0.04),
        reliability_scaled=bins(0.1),
    )


def _attention(classes: Sequence[str], *, alarm: bool) -> Attention:
    middle = [[0.0, 0.1, 0.0], [0.1, 0.6, 0.1], [0.0, 0.1, 0.0]]
    bars = [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    looks = [
        ClassAttention(
            label=label, source=Source.MOVIE, images=40, heat=middle, ring_share=0.21, ring_ratio=0.6
        )
        for label in classes
    ]
    if not alarm:
        return Attention(classes=looks)
    shortcut = Shortcut(
        label=classes[0],
        source=Source.MOVIE,
        images=40,
        area=0.24,
        where=bars,
        others=60,
        odds=4.3,
        odds_interval=(2.1, 8.8),
        alarm=True,
    )
    says = f"Bars that are always the same in {classes[0]} raise its odds 4.3 times."
    return Attention(classes=looks, shortcuts=[shortcut], alarms=[says])
