"""Owns what the model page says of how a model was judged: parts, confusion, losses, reliability, attention.

Called by `pages.models`. Reads `evaluation.json` from storage and keeps the last few: they are immutable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from markupsafe import Markup
from sqlalchemy.orm import Session

from reel_shared.contracts import Evaluation, ImageState, Metrics, StoredFile
from reel_shared.contracts.evaluations import MAX_BYTES, EvaluatedPicture, read_evaluation
from reel_shared.db.models import Image, TrainedModel
from reel_shared.model_card import EVALUATION
from reel_shared.storage import hasty_storage, storage
from reel_web import charts

TOP_LOSSES = 12
CELL_PICTURES = 60
ODDS_PLACES = 2


def evaluation_of(model: TrainedModel) -> Evaluation | None:
    """Return how a model was judged; None for one from before that was stored. Raises StorageUnavailable."""
    stored = model.files.get(EVALUATION)
    if stored is None:
        return None
    file = StoredFile.model_validate(stored)
    return _read(file.key, file.sha256)


@lru_cache(maxsize=4)
def _read(key: str, sha256: str) -> Evaluation:
    return read_evaluation(hasty_storage().get_bytes(key, max_bytes=MAX_BYTES, sha256=sha256))


def parts(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the accuracy on each part of the pictures that judged: the whole, sources, styles, probe sets."""
    found = []
    for name, stored in metrics.items():
        if name.startswith(("tta:", "variant:")):
            continue
        figures = Metrics.model_validate(stored)
        found.append(
            {
                "part": name,
                "name": part_name(name),
                "images": figures.images,
                "accuracy": figures.accuracy,
                "interval": figures.accuracy_interval,
                "top3": figures.top3_accuracy,
                "calibration_error": figures.calibration_error,
            }
        )
    return found


def part_name(part: str) -> str:
    """Write `probe:cosplay` as a person would."""
    words = {"all": "All validation pictures", "movie": "Film frames", "web": "Web pictures"}
    kind, _, name = part.partition(":")
    if name:
        return f"{'Probe set' if kind == 'probe' else 'Web'}: {name}"
    return words.get(part, part)


def confusion(evaluation: Evaluation, part: str) -> dict[str, Any]:
    """Return the matrix of a part, row by true class, with each row's share; and the most frequent mistakes."""
    found = evaluation.confusion[part]
    rows = []
    for label, counts in zip(evaluation.classes, found.counts, strict=True):
        whole = sum(counts)
        cells = [
            {"predicted": predicted, "images": count, "share": count / whole if whole else 0.0}
            for predicted, count in zip(evaluation.classes, counts, strict=True)
        ]
        rows.append({"label": label, "images": whole, "cells": cells})
    confused = [cell.model_dump(include={"label", "predicted", "images"}) for cell in found.confused[:10]]
    return {"part": part, "rows": rows, "confused": confused}


def of_cell(evaluation: Evaluation, part: str, label: str, predicted: str) -> list[EvaluatedPicture]:
    """Return the pictures behind a cell, the surest answers first."""
    found = [
        picture
        for picture in evaluation.pictures
        if picture.label == label and picture.predicted == predicted and _in_part(picture, part)
    ]
    return sorted(found, key=lambda picture: -picture.top[0].probability)


def top_losses(evaluation: Evaluation) -> list[EvaluatedPicture]:
    """Return the wrong answers that cost most."""
    wrong = [picture for picture in evaluation.pictures if not picture.right]
    return sorted(wrong, key=lambda picture: -picture.loss)[:TOP_LOSSES]


def _in_part(picture: EvaluatedPicture, part: str) -> bool:
    if part.startswith("probe:"):
        return picture.probe == part.removeprefix("probe:")
    return not picture.probe and part in ("all", picture.source)


def shown(session: Session, pictures: Sequence[EvaluatedPicture]) -> list[dict[str, Any]]:
    """Return pictures with a link each; those that were taken down since are left out."""
    ids = [picture.id for picture in pictures]
    removed = set(
        session.scalars(sa.select(Image.id).where(Image.id.in_(ids), Image.state == ImageState.REMOVED))
    )
    return [
        {
            "id": picture.id,
            "key": picture.key,
            "url": storage().presigned_url(picture.key),
            "label": picture.label,
            "predicted": picture.predicted,
            "probability": picture.top[0].probability,
            "true_probability": picture.true_probability,
            "loss": picture.loss,
            "source": f"probe set {picture.probe}" if picture.probe else picture.source,
        }
        for picture in pictures
        if picture.id not in removed
    ]


def reliability(evaluation: Evaluation) -> tuple[list[dict[str, Any]], dict[str, Markup]]:
    """Return each part's calibration as figures, and its drawing by part."""
    rows, drawn = [], {}
    for part, scaling in evaluation.calibration.parts.items():
        if ":" in part and not part.startswith("probe:"):
            continue
        rows.append(
            {
                "part": part,
                "name": part_name(part),
                "images": scaling.images,
                "calibration_error": scaling.calibration_error_scaled,
                "before": scaling.calibration_error,
            }
        )
        bins = [
            (each.confidence, each.accuracy, each.images)
            for each in scaling.reliability_scaled
            if each.confidence is not None and each.accuracy is not None
        ]
        drawn[part] = charts.reliability(f"Confidence against accuracy, {part_name(part)}", bins)
    return rows, drawn


def attention(evaluation: Evaluation) -> tuple[dict[str, Any] | None, dict[str, Markup]]:
    """Return what is suspicious about where a model looks, and the maps by `class:…` and `shortcut:…`."""
    found = evaluation.attention
    if found is None:
        return None, {}
    drawn = {
        f"class:{each.label}:{each.source}": charts.heat(
            f"Mean heat of {each.label}, {each.source}: {each.ring_share:.0%} in the outer tenth", each.heat
        )
        for each in found.classes
    } | {
        f"shortcut:{each.label}:{each.source}": charts.heat(
            f"What is always the same in {each.label}, {each.source}", each.where, look="cold"
        )
        for each in found.shortcuts
    }
    classes = [each.model_dump(exclude={"heat"}, mode="json") for each in found.classes]
    shortcuts = [each.model_dump(exclude={"where"}, mode="json") for each in found.shortcuts]
    return {"alarms": list(found.alarms), "classes": classes, "shortcuts": shortcuts}, drawn
