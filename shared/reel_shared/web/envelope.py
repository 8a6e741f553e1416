"""A job row as the API shows it, everywhere the same; files in results get a presigned ``url``."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import StoredFile
from reel_shared.db.models import Job, utcnow
from reel_shared.jobs import TERMINAL
from reel_shared.settings import settings
from reel_shared.storage import storage

_FILE_FIELDS = set(StoredFile.model_fields) - {"url"}


def envelope(job: Job) -> dict[str, Any]:
    """Return the JSON object of a job; ``schemas.JobView`` names its fields."""
    path = f"/v1/jobs/{job.id}"
    return {
        "id": job.id,
        "kind": job.kind,
        "state": str(job.state),
        "attempt": job.attempt,
        "progress": progress(job),
        "request": job.request,
        "result": with_urls(job.result),
        "error": job.error,
        "created_at": timestamp(job.created_at),
        "started_at": timestamp(job.started_at),
        "finished_at": timestamp(job.finished_at),
        "parent_id": job.parent_id,
        "part": job.part,
        "urls": {"self": path, "cancel": f"{path}/cancel", "events": f"{path}/events"},
        "metadata": job.labels,
    }


def progress(job: Job) -> dict[str, Any]:
    return {
        "done": job.progress_done,
        "total": job.progress_total,
        "unit": job.progress_unit,
        "message": job.progress_message,
    }


class Standing(NamedTuple):
    """As much of a job as says whether it has changed, under the names that ``Job`` has for it."""

    owner: str
    state: str
    version: int
    created_at: datetime
    result: bool
    """Whether there is one."""


_jobs = Job.__table__.c
_STANDINGS = sa.select(
    _jobs.id, _jobs.owner, _jobs.state, _jobs.version, _jobs.created_at, _jobs.result.is_not(sa.null())
).where(_jobs.id.in_(sa.bindparam("these", expanding=True)))


def standings(session: Session, job_ids: Collection[str]) -> dict[str, Standing]:
    """Return how these jobs stand, where there are such, for a fraction of what it costs to read and show them."""
    rows = session.connection().execute(_STANDINGS, {"these": list(job_ids)})
    return {job_id: Standing(*fields) for job_id, *fields in rows}


def etag(job: Job | Standing) -> str:
    """Change with every visible change, and twice in a lifetime of the presigned links that a result holds."""
    period = max(1, settings().s3.url_lifetime_seconds // 2)
    links = f"-{int(time.time()) // period}" if job.result else ""
    return f'W/"{job.version}{links}"'


def polling_headers(job: Job | Standing) -> dict[str, str]:
    """Say when to ask again, later the older the job; or, when it has ended, how long the answer holds."""
    if job.state in TERMINAL:
        lifetime = min(3600, settings().s3.url_lifetime_seconds // 2)
        return {"Cache-Control": f"private, max-age={lifetime}"}
    age = (utcnow() - job.created_at).total_seconds()
    seconds = next((wait for limit, wait in ((10, 1), (60, 2), (300, 5)) if age < limit), 10)
    return {"Retry-After": str(seconds), "Cache-Control": "private, no-cache"}


def timestamp(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def with_urls(value: Any) -> Any:
    """Return JSON data with a presigned ``url`` in every object that is a ``contracts.StoredFile``."""
    if isinstance(value, list):
        return [with_urls(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() >= _FILE_FIELDS:
        return {**value, "url": storage().presigned_url(value["key"])}
    return {name: with_urls(item) for name, item in value.items()}
