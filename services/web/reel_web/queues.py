"""The endpoints for queues: what waits and runs in each, pause and resume, and who did so when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from reel_shared import queues
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import QueuePause, utcnow
from reel_shared.queues import Standing
from reel_shared.web.auth import Admin, Reader
from reel_shared.web.envelope import timestamp
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.routing import Router
from reel_shared.web.schemas import Page

router = Router(tags=["queues"])
QueueName = Annotated[str, Path(examples=["trainer"])]


class PauseRequest(BaseModel):
    """The body of `POST /v1/queues/{queue}/pause`."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=300, examples=["a new GPU comes in"])


class QueueView(BaseModel):
    """A queue as it stands."""

    name: str
    queued: int = Field(description="jobs that wait, parts of jobs too")
    running: int = Field(description="with those between two attempts")
    failed: int = Field(description="without parts of jobs")
    oldest_queued_at: AwareDatetime | None = Field(
        description="since when the first of those queued has waited"
    )
    oldest_queued_seconds: float | None = Field(description="for how long it has waited")
    paused: bool
    paused_at: AwareDatetime | None
    paused_by: str | None = Field(description="the API key that asked for it")
    reason: str | None


class PauseView(BaseModel):
    """A time in which a queue was paused."""

    id: str
    queue: str
    reason: str
    by: str = Field(description="the API key that asked for it")
    created_at: AwareDatetime
    resumed_at: AwareDatetime | None
    resumed_by: str


@router.get("/v1/queues", response_model=Page[QueueView])
def list_queues(_principal: Reader) -> Response:
    """Every queue: `queued`, `running`, `failed`, how long the oldest has waited, whether it is `paused`, since
    when, by which key and why."""
    with reading() as session:
        rows = [queue_view(row) for row in queues.standing(session)]
    return JSONResponse({"data": rows, "next_cursor": None})


@router.post("/v1/queues/{queue}/pause", response_model=QueueView)
def pause_queue(queue: QueueName, principal: Admin, body: PauseRequest | None = None) -> Response:
    """No worker takes a job from it until it is resumed; it goes on accepting, what runs ends as usual, and
    time in a paused queue is not counted as waiting. `reason` is shown to those who wait."""
    with transaction() as session:
        queues.pause(session, queue, by=principal.id, reason=body.reason if body else "")
        return JSONResponse(_one(session, queue))


@router.post("/v1/queues/{queue}/resume", response_model=QueueView)
def resume_queue(queue: QueueName, principal: Admin) -> Response:
    """Let workers take jobs from a queue again; what waits starts at once."""
    with transaction() as session:
        queues.resume(session, queue, by=principal.id)
        return JSONResponse(_one(session, queue))


@router.get("/v1/queue-pauses", response_model=Page[PauseView])
def list_queue_pauses(
    _principal: Reader, queue: str | None = None, cursor: Cursor = None, limit: Limit = None
) -> Response:
    """Which queue was paused and resumed by whom, when and why, the newest first; kept for ever."""
    wanted = listing(cursor, limit, queue=queue)
    query = sa.select(QueuePause).filter_by(**wanted.filters)
    with reading() as session:
        return JSONResponse(wanted.page(session, query, QueuePause, _pause_view))


def _one(session: Session, queue: str) -> dict[str, Any]:
    return next(queue_view(row) for row in queues.standing(session) if row.name == queue)


def queue_view(row: Standing) -> dict[str, Any]:
    pause = row.pause
    return {
        "name": row.name,
        "queued": row.queued,
        "running": row.running,
        "failed": row.failed,
        "oldest_queued_at": timestamp(row.oldest),
        "oldest_queued_seconds": seconds_since(row.oldest),
        "paused": pause is not None,
        "paused_at": timestamp(pause.created_at) if pause else None,
        "paused_by": pause.by if pause else None,
        "reason": pause.reason if pause else None,
    }


def seconds_since(moment: datetime | None) -> float | None:
    return max(0.0, round((utcnow() - moment).total_seconds(), 1)) if moment else None


def _pause_view(row: QueuePause) -> dict[str, Any]:
    return {
        "id": row.id,
        "queue": row.queue,
        "reason": row.reason,
        "by": row.by,
        "created_at": timestamp(row.created_at),
        "resumed_at": timestamp(row.resumed_at),
        "resumed_by": row.resumed_by,
    }
