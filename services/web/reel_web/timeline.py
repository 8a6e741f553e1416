"""Owns the words for a job's events and the end of its log. Called by the pages of jobs and trainings."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.db.models import JobEvent
from reel_shared.web.envelope import timestamp
from reel_web.rendering import byte_size

EVENT_ROWS = 500
LOG_LINES = 200
"""So much of a log is shown; `GET /v1/jobs/{id}/events` has what is kept."""


def timeline_of(session: Session, job_id: str) -> list[dict[str, Any]]:
    """A job's events in their order, the newest ``EVENT_ROWS``: states and figures; curves are drawn elsewhere."""
    query = (
        sa.select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.type.not_in(("curve", "log")))
        .order_by(JobEvent.id.desc())
        .limit(EVENT_ROWS)
    )
    return [timeline_entry(event) for event in reversed(session.scalars(query).all())]


def log_of(session: Session, job_id: str) -> list[str]:
    """The last lines that the job's process wrote, the newest last."""
    query = (
        sa.select(JobEvent.data)
        .where(JobEvent.job_id == job_id, JobEvent.type == "log")
        .order_by(JobEvent.id.desc())
        .limit(LOG_LINES)
    )
    lines: list[str] = []
    for data in reversed(session.scalars(query).all()):
        skipped = data.get("skipped")
        lines += [f"… {skipped} lines more"] * bool(skipped) + data["lines"]
    return lines[-LOG_LINES:]


def timeline_entry(event: JobEvent) -> dict[str, Any]:
    """One event as the timeline shows it: when, its look, a headline and one line more."""
    data = event.data
    if event.type != "state":
        return {
            "at": timestamp(event.at),
            "look": event.type,
            "title": _figures_title(data),
            "note": _figures(data),
        }
    title, note = _state_words(data)
    return {"at": timestamp(event.at), "look": str(data.get("state", "")), "title": title, "note": note}


def _state_words(data: dict[str, Any]) -> tuple[str, str]:
    state = str(data.get("state", ""))
    detail = (data.get("error") or {}).get("detail", "")
    if "retry_in" in data:
        return f"Will be tried again in {data['retry_in']} s", detail
    if data.get("released"):
        return "Given back by a worker that stops", "The attempt does not count."
    if data.get("lease_expired"):
        return (
            "The worker was lost",
            f"{data.get('worker', '')} stopped answering in attempt {data.get('attempt')}.",
        )
    if state == "running":
        return "Running", f"Attempt {data['attempt']}" if data.get("attempt", 1) > 1 else ""
    words = {"queued": "Accepted", "canceling": "Asked to stop"}
    return words.get(state, state.capitalize()), detail


def _figures_title(data: dict[str, Any]) -> str:
    place = [f"{name} {data[name]}" for name in ("stage", "epoch") if name in data]
    return ", ".join(place).capitalize() or "Figures"


def _figures(data: dict[str, Any]) -> str:
    shown = {name: value for name, value in data.items() if name not in {"stage", "epoch"}}
    return " · ".join(f"{name.replace('_', ' ')} {_figure(name, value)}" for name, value in shown.items())


def _figure(name: str, value: Any) -> str:
    if name.endswith("memory") and isinstance(value, int):
        return byte_size(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
