"""The statements of the job state machine, made once; called by ``jobs`` and ``outbox`` alone.

Every accepted job passes through a dozen of them. To put one together costs more than to run it, so they are made
when this module is imported, on the tables themselves: rows and parameters, no objects. What a statement sets is named
by the parameters that it is run with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.db.models import Job, JobEvent, OutboxMessage, QueuePause, WebhookEndpoint

JOBS = cast(sa.Table, Job.__table__)
EVENTS = cast(sa.Table, JobEvent.__table__)
OUTBOX = cast(sa.Table, OutboxMessage.__table__)
PAUSES = cast(sa.Table, QueuePause.__table__)
_columns = JOBS.c
_VISIBLE = {"version": _columns.version + 1}
_this_job = _columns.id == sa.bindparam("the_job")
_my_lease = sa.and_(_this_job, _columns.lease_token == sa.bindparam("the_token"))
_live = _columns.state.in_(("running", "canceling"))
PAUSED = sa.select(PAUSES.c.queue).where(PAUSES.c.resumed_at.is_(None))
"""The queues that are paused."""
# A part belongs to a job that runs already, and what runs when its queue is paused ends as usual.
MAY_START = sa.or_(_columns.part.is_not(None), _columns.queue.not_in(PAUSED))
"""Whether a job's queue lets a worker claim it."""


def held_since(moment: datetime) -> sa.Select[str]:
    """Return a query for the queues that were paused at ``moment`` or later: no worker was to take what waits there."""
    return sa.select(PAUSES.c.queue).where(
        sa.or_(PAUSES.c.resumed_at.is_(None), PAUSES.c.resumed_at > moment)
    )


def run(session: Session, statement: sa.Executable, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
    """Run one in the session's transaction. Objects that the session holds are neither written first nor changed."""
    return session.connection().execute(statement, dict(values))


def run_many(session: Session, statement: sa.Executable, values: Sequence[Mapping[str, Any]]) -> None:
    session.connection().execute(statement, [dict(each) for each in values])


def _claim(*more: sa.ColumnElement[bool]) -> sa.Executable:
    now = sa.bindparam("now", type_=_columns.lease_until.type)
    free = sa.or_(_columns.lease_until.is_(None), _columns.lease_until < now)
    return (
        JOBS.update()
        .where(
            _this_job,
            sa.or_(_columns.state == "queued", sa.and_(_columns.state == "running", free)),
            sa.or_(_columns.not_before.is_(None), _columns.not_before <= now),
            _columns.attempt < _columns.max_attempts,
            MAY_START,
            *more,
        )
        .values(
            **_VISIBLE,
            state="running",
            attempt=_columns.attempt + 1,
            started_at=sa.func.coalesce(_columns.started_at, now),
            not_before=None,
        )
        .returning(
            _columns.kind,
            _columns.attempt,
            _columns.max_attempts,
            _columns.request,
            _columns.request_id,
            _columns.traceparent,
        )
    )


CLAIM = _claim()
"""Of ``the_job`` at ``now``; sets the lease's columns. Returns the other fields of a ``jobs.Lease``."""
CLAIM_OF_KIND = _claim(_columns.kind == sa.bindparam("the_kind"))

_ENDPOINTS = cast(sa.Table, WebhookEndpoint.__table__)
# Asked by the statement that ends a job, so that it costs nothing where nobody has a webhook.
_HEARD = sa.exists().where(_ENDPOINTS.c.disabled_at.is_(None)).label("heard")

FENCED = JOBS.update().where(_my_lease, _live).returning(_columns.state)
"""Of ``the_job`` while ``the_token`` holds it."""
FENCED_VISIBLE = FENCED.values(**_VISIBLE)
"""The same, and readers are to see it."""
SUCCEED = (
    JOBS.update()
    .where(_my_lease, _columns.state == "running")
    .values(**_VISIBLE)
    .returning(_columns.owner, _columns.metadata, _HEARD)
)
"""Of ``the_job`` while ``the_token`` holds it and nobody wished it canceled. Returns owner, metadata, heard."""
CHANGE = JOBS.update().where(_this_job).values(**_VISIBLE)
"""Of ``the_job``, whoever holds it."""
END = CHANGE.returning(_HEARD)
"""The same, with its last state. Returns whether there is an endpoint of a webhook."""

FORGET_MESSAGE = OUTBOX.delete().where(OUTBOX.c.job_id == sa.bindparam("the_job"))
FORGET_THIS_MESSAGE = FORGET_MESSAGE.where(OUTBOX.c.created_at == sa.bindparam("the_moment"))
"""Of ``the_job`` and ``the_moment`` alone: one that was written meanwhile stays."""
SENT = JOBS.update().where(_this_job)
TELL = EVENTS.insert()
MESSAGE = OUTBOX.insert()
UNFINISHED_PARTS = sa.select(_columns.id).where(
    _columns.parent_id == sa.bindparam("the_job"),
    _columns.part.is_not(None),
    _columns.state.not_in(("succeeded", "failed", "canceled")),
)
