"""Owns a job in one row of a list, as every page shows it."""

from __future__ import annotations

from typing import Any

from reel_shared.db.models import Job, utcnow
from reel_shared.jobs import TERMINAL
from reel_shared.web.envelope import progress, timestamp


def summary(job: Job) -> dict[str, Any]:
    """A job in one row of a list."""
    until = job.finished_at or utcnow()
    return {
        "id": job.id,
        "kind": job.kind,
        "queue": job.queue,
        "part": job.part,
        "state": job.state,
        "attempt": job.attempt,
        "progress": progress(job),
        "subject": _subject(job.request),
        "detail": (job.error or {}).get("detail", ""),
        "created_at": timestamp(job.created_at),
        "seconds": (until - job.started_at).total_seconds() if job.started_at else None,
        "ended": job.state in TERMINAL,
    }


def _subject(request: dict[str, Any]) -> str:
    """What the job is about, in a few words: the first of these fields that its request has."""
    for name in ("title", "label", "query", "recipe", "dataset_version_id", "dataset", "model"):
        if request.get(name):
            return str(request[name])
    return ""
