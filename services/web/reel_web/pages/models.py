"""`/models` and `/models/{id}`: which model serves, how each was judged, and what may be done with it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.contracts import ACTIVE, Evaluation
from reel_shared.db.engine import reading
from reel_shared.db.lookups import find_model
from reel_shared.db.models import AliasChange, ModelAlias, TrainedModel
from reel_shared.errors import StorageUnavailable, Unprocessable
from reel_shared.model_card import REPORT_HTML
from reel_shared.storage import storage
from reel_shared.web.envelope import timestamp
from reel_shared.web.pagination import listing
from reel_shared.web.routing import Router
from reel_web import charts, evaluations
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Reader

router = Router(route_class=PageRoute)
PAGE_ROWS = 25
CHANGES = 20


@router.get("/models")
@router.get("/models.json")
def list_models(request: Request, viewer: Reader, cursor: str | None = None) -> Response:
    """Every model, the newest first, with its accuracies and what names it."""
    wanted = listing(cursor, PAGE_ROWS)
    with reading() as session:
        aliases = _aliases(session)
        found = wanted.page(session, sa.select(TrainedModel), TrainedModel, lambda row: _row(row, aliases))
    data = {**found, "first_page": cursor is None, "base_url": str(request.base_url).rstrip("/")}
    return page(request, "models.html", data)


@router.get("/models/{model_id}")
@router.get("/models/{model_id}.json")  # registered first: decorators work from below
def show_model(
    model_id: str, request: Request, viewer: Reader, part: str = "all", true: str = "", predicted: str = ""
) -> Response:
    """One model, by id, number or alias; `part` chooses a confusion matrix, `true` and `predicted` open a cell."""
    with reading() as session:
        row = find_model(session, model_id)
    evaluation, away = _evaluation(row)
    with reading() as session:
        aliases = _aliases(session)
        changes = session.scalars(
            sa.select(AliasChange)
            .where(sa.or_(AliasChange.to_model_id == row.id, AliasChange.from_model_id == row.id))
            .order_by(AliasChange.created_at.desc(), AliasChange.id.desc())
            .limit(CHANGES)
        ).all()
        served_before = session.scalar(
            sa.select(AliasChange.from_model_id)
            .where(AliasChange.alias == ACTIVE, AliasChange.from_model_id.is_not(None))
            .limit(1)
        )
        judged, drawn = _judged(session, evaluation, part, true, predicted) if evaluation else ({}, {})
    parts = evaluations.parts(row.metrics)
    data = {
        "model": {**_row(row, aliases), **_card(row)},
        "parts": parts,
        "changes": [_change(change) for change in changes],
        "files": [
            {
                "name": name,
                "size": file["size"],
                "url": storage().presigned_url(file["key"], download_name=f"v{row.number}-{name}"),
            }
            for name, file in sorted(row.files.items())
        ],
        "report": REPORT_HTML in row.files,
        "away": away,
        "may_change": viewer.may("submit"),
        "may_roll_back": row.id == aliases.get(ACTIVE) and served_before is not None,
        "evaluation": judged or None,
    }
    intervals = {
        each["part"]: charts.interval(each["accuracy"], each["interval"], f"{each['accuracy']:.1%}")
        for each in parts
    }
    return page(request, "model.html", data, drawn={"drawn": drawn, "intervals": intervals})


def _evaluation(row: TrainedModel) -> tuple[Evaluation | None, str]:
    """Return how a model was judged, or why that cannot be shown now."""
    try:
        return evaluations.evaluation_of(row), ""
    except StorageUnavailable as error:
        return None, error.detail


def _judged(
    session: Session, evaluation: Evaluation, part: str, true: str, predicted: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    if part not in evaluation.confusion or not {true, predicted} <= {"", *evaluation.classes}:
        raise Unprocessable(
            f"There is no such part or class; the parts are {', '.join(evaluation.confusion)}."
        )
    cell = None
    if true and predicted:
        pictures = evaluations.of_cell(evaluation, part, true, predicted)
        cell = {
            "label": true,
            "predicted": predicted,
            "images": len(pictures),
            "pictures": evaluations.shown(session, pictures[: evaluations.CELL_PICTURES]),
        }
    calibrated, reliability = evaluations.reliability(evaluation)
    attention, maps = evaluations.attention(evaluation)
    judged = {
        "confusion_parts": [
            {"part": name, "name": evaluations.part_name(name)} for name in evaluation.confusion
        ],
        "confusion": evaluations.confusion(evaluation, part),
        "cell": cell,
        "top_losses": evaluations.shown(session, evaluations.top_losses(evaluation)),
        "calibration": calibrated,
        "temperature": evaluation.calibration.temperature,
        "abstention": evaluation.abstention.model_dump(exclude={"curve"}),
        "attention": attention,
    }
    return judged, {**reliability, **maps}


def _aliases(session: Session) -> dict[str, str]:
    return {row.name: row.model_id for row in session.scalars(sa.select(ModelAlias))}


def _row(row: TrainedModel, aliases: dict[str, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "number": row.number,
        "aliases": sorted(alias for alias, model_id in aliases.items() if model_id == row.id),
        "tags": row.tags,
        "recipe": row.recipe,
        "architecture": row.architecture,
        "held_out": row.card.get("held_out", True),
        "takedowns": len(row.takedowns),
        "accuracies": {
            part: row.metrics[part]["accuracy"] for part in ("all", "movie", "web") if part in row.metrics
        },
        "accuracy_interval": (row.metrics.get("all") or {}).get("accuracy_interval"),
        "job_id": row.job_id,
        "created_at": timestamp(row.created_at),
    }


def _card(row: TrainedModel) -> dict[str, Any]:
    card = row.card
    return {
        "classes": card["classes"],
        "size": card["size"],
        "precision": card.get("precision", ""),
        "not_sure_below": card.get("not_sure_below"),
        "temperature": card.get("temperature"),
        "certified": card.get("certified", True),
        "notes": card.get("notes", []),
        "agreement": card.get("agreement", []),
        "dataset_version_id": row.dataset_version_id,
        "remarks": row.remarks,
        "forced": row.forced,
    }


def _change(change: AliasChange) -> dict[str, Any]:
    names = ("alias", "action", "from_model_id", "to_model_id", "reason", "failed_gates")
    return {**{name: getattr(change, name) for name in names}, "at": timestamp(change.created_at)}
