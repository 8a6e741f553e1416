"""A job's life as server-sent events: ``state``, ``progress``, ``metric``, ``curve``, ``log``,
``end``; ``api`` calls it.

The event id is the row id in ``job_events``, so that ``Last-Event-ID`` goes on where a connection broke.
``progress`` is not kept, has no id and comes at most twice a second.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import anyio
import sqlalchemy as sa
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from reel_shared import jobs
from reel_shared.db.engine import reading
from reel_shared.db.models import JobEvent
from reel_shared.errors import DatabaseUnavailable
from reel_shared.web.envelope import envelope, progress, timestamp
from reel_shared.web.stopping import is_stopping
from reel_shared.web.waiting import ended_within

LOOK_SECONDS = 0.5
FIRST_LOOKS = (0.05, 0.1, 0.1, 0.2, 0.2, 0.3)
"""Seconds between the looks at first: what people wait for, such as a heat map, often ends within a second."""
LIFETIME_SECONDS = 600.0
RETRY_MILLISECONDS = 2000
PING_SECONDS = 15


class _Look(NamedTuple):
    events: list[ServerSentEvent]
    last_id: int
    progress: dict[str, Any]
    ended: dict[str, Any] | None


def event_response(job_id: str, request: Request) -> EventSourceResponse:
    """Stream the job's events after ``Last-Event-ID``, or all of them."""
    given = request.headers.get("last-event-id", "")
    after = int(given) if given.isdecimal() and len(given) < 18 else 0
    # Without the grace a stopping server would cut the stream in mid-air instead of letting it end.
    return EventSourceResponse(
        _stream(job_id, after), ping=PING_SECONDS, shutdown_grace_period=4 * LOOK_SECONDS
    )


async def _stream(job_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(comment="job events", retry=RETRY_MILLISECONDS)
    began = anyio.current_time()
    deadline = began + LIFETIME_SECONDS
    shown: dict[str, Any] = {"done": 0}
    pauses = iter(FIRST_LOOKS)
    due = anyio.current_time()
    while anyio.current_time() < deadline and not is_stopping():
        try:
            look = await run_in_threadpool(_look, job_id, after)
        except DatabaseUnavailable:
            await anyio.sleep(LOOK_SECONDS)
            continue
        after = look.last_id
        for event in look.events:
            yield event
        is_due = anyio.current_time() >= due or look.ended is not None
        if look.progress != shown and look.progress["done"] and is_due:
            shown, due = look.progress, anyio.current_time() + LOOK_SECONDS
            yield _event("progress", shown)
        if look.ended is not None:
            yield _event("end", look.ended)
            return
        await ended_within(job_id, next(pauses, LOOK_SECONDS), since=began)


def _look(job_id: str, after: int) -> _Look:
    with reading() as session:
        # The job first: an event that is written after this read belongs to the next look, and so does its end.
        job = jobs.get(session, job_id)
        rows = session.scalars(
            sa.select(JobEvent)
            .where(JobEvent.job_id == job_id, JobEvent.id > after)
            .order_by(JobEvent.id)
            .limit(500)
        ).all()
        events = [_event(row.type, {**row.data, "at": timestamp(row.at)}, row.id) for row in rows]
        last_id = rows[-1].id if rows else after
        ended = envelope(job) if job.state in jobs.TERMINAL and len(rows) < 500 else None
        return _Look(events, last_id, progress(job), ended)


def _event(name: str, data: dict[str, Any], event_id: int | None = None) -> ServerSentEvent:
    number = None if event_id is None else str(event_id)
    return ServerSentEvent(json.dumps(data, separators=(",", ":")), event=name, id=number)
