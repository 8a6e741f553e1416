"""`/trainings`, `/trainings/compare` and `/trainings/{id}`: what is trained, how it goes, how it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Query, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.contracts import TRAIN_MODEL
from reel_shared.db.engine import reading
from reel_shared.db.models import DatasetVersion, Job, TrainedModel, TrainingMetrics, TrainingState
from reel_shared.errors import NotFound, Unprocessable
from reel_shared.web.envelope import envelope
from reel_shared.web.pagination import listing
from reel_shared.web.routing import Router
from reel_web import trainings
from reel_web.pages.datasets import version_summary
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Reader
from reel_web.timeline import log_of, timeline_of

router = Router(route_class=PageRoute)
PAGE_ROWS = 25
NEWEST_VERSIONS = 50
"""Dataset versions that a training can be started on here; the API takes any."""
COMPARED = (2, 4)


@router.get("/trainings")
@router.get("/trainings.json")
def list_trainings(
    request: Request, viewer: Reader, cursor: str | None = None, version: str = ""
) -> Response:
    """The newest trainings; two to four can be chosen for a comparison, and one be started, on ``version`` if named."""
    wanted = listing(cursor, PAGE_ROWS)
    query = sa.select(Job).where(Job.kind == TRAIN_MODEL.name)
    with reading() as session:
        listed = wanted.page(session, query, Job, lambda job: {"job": job})
        jobs = [row["job"] for row in listed["data"]]
        models = _models(session, [job.id for job in jobs])
        listed["data"] = [trainings.training_row(job, models.get(job.id)) for job in jobs]
        trainable = _trainable(session)
    data = {
        **listed,
        "first_page": cursor is None,
        "versions": trainable,
        "chosen": version,
        "may_change": viewer.may("submit"),
        "base_url": str(request.base_url).rstrip("/"),
    }
    return page(request, "trainings.html", data)


@router.get("/trainings/compare")
@router.get("/trainings/compare.json")
def compare_trainings(
    request: Request, viewer: Reader, id: Annotated[tuple[str, ...], Query()] = ()
) -> Response:
    """Two to four trainings side by side: figures, curves, and what their recipes differ in."""
    ids = list(dict.fromkeys(id))
    if not COMPARED[0] <= len(ids) <= COMPARED[1]:
        raise Unprocessable("Choose two to four trainings in the list, then compare them.")
    with reading() as session:
        jobs = [_training(session, job_id) for job_id in ids]
        models = _models(session, ids)
        stages = [trainings.stages_of(_metrics(session, job_id)) for job_id in ids]
        rows = [trainings.training_row(job, models.get(job.id)) for job in jobs]
        recipes = [trainings.recipe_of(job, models.get(job.id)) for job in jobs]
        requests = [job.request for job in jobs]
    named = [(name_of(row), each) for row, each in zip(rows, stages, strict=True)]
    parts = dict.fromkeys(part for model in models.values() for part in model.metrics if ":" not in part)
    data = {
        "trainings": rows,
        "names": [name for name, _ in named],
        "parts": [
            {"name": part, "metrics": [_metric(models.get(job_id), part) for job_id in ids]} for part in parts
        ],
        "differences": trainings.differences(recipes, requests),
        "unknown": [row["recipe"] for row, recipe in zip(rows, recipes, strict=True) if len(recipe) == 1],
    }
    charts = {
        "loss": trainings.comparison("Training loss of each", named, "loss"),
        "valid_loss": trainings.comparison("Validation loss of each after each epoch", named, "valid_loss"),
        "accuracy": trainings.comparison("Accuracy of each after each epoch", named, "accuracy"),
        "lr": trainings.comparison("Learning rate of each, logarithmic", named, "lr"),
    }
    return page(request, "trainings_compare.html", data, drawn={"charts": charts})


@router.get("/trainings/{job_id}")
@router.get("/trainings/{job_id}.json")  # registered first: decorators work from below
def show_training(job_id: str, request: Request, viewer: Reader) -> Response:
    """One training: its curves while it runs and ever after, its stages, its recipe, and what can be done."""
    with reading() as session:
        job = _training(session, job_id)
        model = _models(session, [job_id]).get(job_id)
        rows = _metrics(session, job_id)
        state = session.get(TrainingState, job_id)
        stages = trainings.stages_of(rows)
        checkpoint = state.checkpoint if state else None
        data = {
            "training": {**trainings.training_row(job, model), "request": job.request, "error": job.error},
            "stages": stages,
            "results": (job.result or {}).get("stages", []),
            "notes": (job.result or {}).get("notes", []),
            "now": trainings.last_words(rows) if job.state == "running" else None,
            "recipe": trainings.recipe_of(job, model),
            "checkpoint": {"stage": checkpoint["stage"], "epoch": checkpoint["epoch"]}
            if checkpoint
            else None,
            "may": trainings.may_be(
                job, checkpoint=checkpoint is not None, stopping=bool(state and state.stop_after_epoch)
            ),
            "may_change": viewer.may("submit"),
            "events": timeline_of(session, job_id),
            "log": log_of(session, job_id),
            "urls": envelope(job)["urls"],
        }
    charts = {
        "loss": trainings.loss_chart(stages),
        "accuracy": trainings.accuracy_chart(stages),
        "lr": trainings.rate_chart(stages),
    }
    drawn = {"charts": charts, "sources": trainings.told_sources(stages)}
    return page(request, "training.html", data, drawn=drawn)


def name_of(row: dict[str, Any]) -> str:
    return (
        f"v{row['model_number']} {row['recipe']}"
        if row["model_number"]
        else f"{row['recipe']} {row['id'][-6:]}"
    )


def _training(session: Session, job_id: str) -> Job:
    job = session.get(Job, job_id)
    if job is None or job.kind != TRAIN_MODEL.name:
        raise NotFound(f"There is no training {job_id}.")
    return job


def _trainable(session: Session) -> list[dict[str, Any]]:
    """The newest dataset versions that a training takes: certified, and none of their pictures taken down since."""
    query = sa.select(DatasetVersion).order_by(DatasetVersion.created_at.desc(), DatasetVersion.id.desc())
    return [
        {**version_summary(row), "dataset": row.dataset}
        for row in session.scalars(query.limit(NEWEST_VERSIONS))
        if row.certificate.get("certified") and not row.takedowns
    ]


def _models(session: Session, job_ids: Sequence[str]) -> dict[str, TrainedModel]:
    """Return the model that each training made, of those that made one."""
    query = sa.select(TrainedModel).where(TrainedModel.job_id.in_(job_ids))
    return {model.job_id: model for model in session.scalars(query)}


def _metrics(session: Session, job_id: str) -> Sequence[TrainingMetrics]:
    query = sa.select(TrainingMetrics).filter_by(job_id=job_id).order_by(TrainingMetrics.number)
    return session.scalars(query).all()


def _metric(model: TrainedModel | None, part: str) -> dict[str, Any] | None:
    found = model.metrics.get(part) if model else None
    return (
        {
            "accuracy": found["accuracy"],
            "accuracy_interval": found.get("accuracy_interval"),
            "images": found["images"],
        }
        if found
        else None
    )
