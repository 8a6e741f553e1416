"""`/jobs` and `/jobs/{id}`: what the queues hold and what became of each job, read from the database."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared import queues
from reel_shared.contracts import KINDS, QUEUES
from reel_shared.db.engine import reading
from reel_shared.db.models import ApiKey, Job
from reel_shared.errors import NotFound, Unprocessable
from reel_shared.jobs import State
from reel_shared.security import Principal
from reel_shared.web.envelope import envelope
from reel_shared.web.pagination import listing
from reel_shared.web.routing import Router
from reel_web.queues import queue_view
from reel_web.rendering import PageRoute, page
from reel_web.result_files import stored_files
from reel_web.sessions import Viewer
from reel_web.summaries import summary
from reel_web.timeline import timeline_of

router = Router(route_class=PageRoute)
PAGE_ROWS = 25
CANCELABLE = (State.QUEUED, State.RUNNING)
RETRYABLE = (State.FAILED, State.CANCELED)


@router.get("/jobs")
@router.get("/jobs.json")
def list_jobs(
    request: Request,
    viewer: Viewer,
    state: str = "",
    queue: str = "",
    kind: str = "",
    cursor: str | None = None,
) -> Response:
    """Queue cards with their counts, and the newest jobs; `state`, `queue` and `kind` narrow the list."""
    if (
        (state and state not in list(State))
        or (queue and queue not in QUEUES)
        or (kind and kind not in KINDS)
    ):
        raise Unprocessable(f"There is no such state, queue or kind; the queues are {', '.join(QUEUES)}.")
    wanted = listing(cursor, PAGE_ROWS, state=state or None, queue=queue or None, kind=kind or None)
    with reading() as session:
        whole = _visible(viewer).filter_by(**wanted.filters).where(Job.part.is_(None))
        found = wanted.page(session, whole, Job, summary)
        data = {
            **found,
            "queues": _queues(session, viewer),
            "states": [str(name) for name in State],
            "state": wanted.filters.get("state", ""),
            "queue": wanted.filters.get("queue", ""),
            "kind": wanted.filters.get("kind", ""),
            "kinds": [name for name, each in KINDS.items() if each.queue == wanted.filters.get("queue")],
            "first_page": cursor is None,
            "newest": "/jobs" + (f"?{urlencode(wanted.filters)}" if wanted.filters else ""),
            "may_pause": viewer.may("admin"),
            "base_url": str(request.base_url).rstrip("/"),
        }
    return page(request, "jobs.html", data)


@router.get("/jobs/{job_id}")
@router.get("/jobs/{job_id}.json")  # registered first: decorators work from below
def show_job(job_id: str, request: Request, viewer: Viewer) -> Response:
    """One job: its timeline, request, result or error, files and family."""
    with reading() as session:
        job = session.scalar(_visible(viewer).where(Job.id == job_id))
        if job is None:
            raise NotFound(f"There is no job {job_id}, or this key may not see it.")
        children = session.scalars(_visible(viewer).where(Job.parent_id == job_id).order_by(Job.created_at))
        shown = envelope(job)
        data = {
            "job": {**shown, **summary(job), "max_attempts": job.max_attempts, "owner": job.owner},
            "events": timeline_of(session, job_id),
            "children": [summary(child) for child in children],
            "files": stored_files(shown["result"]),
            "may_cancel": viewer.may("submit") and job.state in CANCELABLE,
            "may_retry": viewer.may("submit") and job.state in RETRYABLE and job.part is None,
            "held": _waits(job) and job.queue in queues.paused(session),
            "asked_at": _path(job.kind),
            "base_url": str(request.base_url).rstrip("/"),
        }
    return page(request, "job.html", data)


def _visible(viewer: Principal) -> sa.Select[Job]:
    query = sa.select(Job)
    return query if viewer.may("read") else query.where(Job.owner == viewer.id)


def _waits(job: Job) -> bool:
    """Whether it waits to be claimed, as a pause of its queue would keep it."""
    free = job.state == State.QUEUED or (job.state == State.RUNNING and job.lease_until is None)
    return free and job.part is None


def _queues(session: Session, viewer: Principal) -> list[dict[str, Any]]:
    """Return what the endpoint shows of each queue, of the viewer's jobs only where they see no others."""
    rows = queues.standing(session, owner=None if viewer.may("read") else viewer.id)
    keys = [row.pause.by for row in rows if row.pause]
    names = (
        {key.id: key.name for key in session.scalars(sa.select(ApiKey).where(ApiKey.id.in_(keys)))}
        if keys
        else {}
    )
    return [
        {**queue_view(row), "paused_by_name": names.get(row.pause.by, "") if row.pause else None}
        for row in rows
    ]


def _path(kind: str) -> str | None:
    """Where such a job is asked for; None for a part, which nobody asks for."""
    # What calls the API takes a tenth of a second of CPU that starting to serve need not wait for.
    from reel_shared.client import PATHS

    return next((path for each, path in PATHS.items() if each.name == kind), None)
