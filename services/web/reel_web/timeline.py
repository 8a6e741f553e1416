"""Owns the words for a job's events and the files in its result. Called by the pages of jobs and trainings."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.db.models import JobEvent
from reel_shared.web.envelope import timestamp
from reel_web.rendering import byte_size

EVENT_ROWS = 500


def timeline_of(session: Session, job_id: str) -> list[dict[str, Any]]:
    """A job's events in their order, the newest ``EVENT_ROWS``: states and figures; the points of curves are drawn."""
    query = (
        sa.select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.type != "curve")
        .order_by(JobEvent.id.desc())
        .limit(EVENT_ROWS)
    )
    return [timeline_entry(event) for event in reversed(session.scalars(query).all())]


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


def stored_files(result: Any, name: str = "") -> list[dict[str, Any]]:
    """Every stored file in a result, with where it stands in it: `explanations 0 gradcam`."""
    if isinstance(result, list):
        return [file for place, item in enumerate(result) for file in stored_files(item, f"{name} {place}")]
    if not isinstance(result, dict):
        return []
    if {"key", "media_type", "size", "url"} <= result.keys():
        return [{**result, "name": name.strip(), "picture": result["media_type"].startswith("image/")}]
    return [file for part, item in result.items() for file in stored_files(item, f"{name} {part}")]
