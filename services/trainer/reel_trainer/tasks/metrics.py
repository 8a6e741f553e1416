"""What a training tells while it runs, in its events and in a row for each stage; called by ``trainings``.

The row is written with the event, under the job's fencing token: a worker that lost the job adds nothing.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.db.models import JobEvent, TrainingMetrics, utcnow
from reel_shared.runner import Context
from reel_trainer.child import LOG

LOG_EVENTS, LOG_LINES = 20, 40
"""A log is kept in so many events of so many lines at most: its end is what people ask for."""


def keep_curve(context: Context, data: dict[str, Any]) -> None:
    """Note the new points of a stage, or all that there is to say of it when the event is ``fresh``."""

    def write(session: Session) -> None:
        if data["fresh"]:
            _begin(session, context.job_id, data)
        row = session.get_one(TrainingMetrics, (context.job_id, data["number"]))
        if not data["fresh"]:
            row.points = [*row.points, *data["points"]]
        row.now = data.get("now", row.now)
        row.updated_at = utcnow()

    context.note("curve", data, write=write)


def keep_epoch(context: Context, data: dict[str, Any]) -> None:
    """Note the row of an epoch."""

    def write(session: Session) -> None:
        found = sa.select(TrainingMetrics).filter_by(job_id=context.job_id, stage=data["stage"])
        row = session.scalars(found).one()
        row.epochs = [*row.epochs, data]

    context.note("metric", data, write=write)


def keep_log(context: Context, data: dict[str, Any]) -> None:
    """Note lines of the log; of all that were told the newest ``LOG_EVENTS`` times stay."""
    lines = data["lines"]
    kept = {"lines": lines[-LOG_LINES:], "skipped": max(0, len(lines) - LOG_LINES)}
    context.note(LOG, kept, write=lambda session: _forget_older(session, context.job_id))


def _forget_older(session: Session, job_id: str) -> None:
    logs = sa.select(JobEvent.id).where(JobEvent.job_id == job_id, JobEvent.type == LOG)
    older = session.scalars(logs.order_by(JobEvent.id.desc()).offset(LOG_EVENTS)).all()
    if older:
        session.execute(sa.delete(JobEvent).where(JobEvent.id.in_(older)))


def _begin(session: Session, job_id: str, data: dict[str, Any]) -> None:
    """Put a stage in place of what an earlier attempt may have told of it and of those behind it."""
    later = sa.delete(TrainingMetrics).where(
        TrainingMetrics.job_id == job_id, TrainingMetrics.number >= data["number"]
    )
    session.execute(later)
    facts = {name: data[name] for name in ("number", "stage", "points", "epochs")}
    session.add(TrainingMetrics(job_id=job_id, **facts))
    session.flush()
