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
from sqlalchemy.sql.dml import ReturningUpdate

from reel_shared.db.models import Job, JobEvent, OutboxMessage, QueuePause, WebhookEndpoint

JOBS = cast(sa.Table, Job.__table__)
EVENTS = cast(sa.Table, JobEvent.__table__)
OUTBOX = cast(sa.Table, OutboxMessage.__table__)
PAUSES = cast(sa.Table, QueuePause.__table__)
_columns = JOBS.c
_VISIBLE = {"version": _columns.version + 1}
_this_job = _columns.id == sa.bindparam("the_job")
_my_lease = sa.and_(_this_job, _columns.lease_token == sa.bindparam("the_token"))
NOW = sa.bindparam("now", type_=_columns.lease_until.type)
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


def claim(*, of_kind: bool, more: Sequence[sa.ColumnElement[Any]] = ()) -> ReturningUpdate[Any]:
    """Return the statement that takes ``the_job`` at ``now`` for ``the_token``, ``the_end`` and ``the_worker``.

    It returns the other fields of a ``jobs.Lease``, and ``more``.

    Args:
        of_kind: only a job of ``the_kind`` is taken.
    """
    free = sa.or_(_columns.lease_until.is_(None), _columns.lease_until < NOW)
    return (
        JOBS.update()
        .where(
            _this_job,
            sa.or_(_columns.state == "queued", sa.and_(_columns.state == "running", free)),
            sa.or_(_columns.not_before.is_(None), _columns.not_before <= NOW),
            _columns.attempt < _columns.max_attempts,
            MAY_START,
            *([_columns.kind == sa.bindparam("the_kind")] if of_kind else []),
        )
        .values(
            **_VISIBLE,
            state="running",
            attempt=_columns.attempt + 1,
            started_at=sa.func.coalesce(_columns.started_at, NOW),
            not_before=None,
            sent_at=sa.func.coalesce(_columns.sent_at, NOW),
            lease_token=sa.bindparam("the_token"),
            lease_until=sa.bindparam("the_end", type_=_columns.lease_until.type),
            worker=sa.bindparam("the_worker"),
        )
        .returning(
            _columns.kind,
            _columns.attempt,
            _columns.max_attempts,
            _columns.request,
            _columns.request_id,
            _columns.traceparent,
            *more,
        )
    )


CLAIM, CLAIM_OF_KIND = claim(of_kind=False), claim(of_kind=True)

_ENDPOINTS = cast(sa.Table, WebhookEndpoint.__table__)
# Asked by the statements that end a job, so that they cost nothing where nobody has a webhook and a job no parts.
_heard = sa.exists().where(_ENDPOINTS.c.disabled_at.is_(None))
_HEARD = _heard.label("heard")
_parts = JOBS.alias("parts")
UNFINISHED_PARTS = sa.select(_parts.c.id).where(
    _parts.c.parent_id == sa.bindparam("the_job"),
    _parts.c.part.is_not(None),
    _parts.c.state.not_in(("succeeded", "failed", "canceled")),
)
_parted = UNFINISHED_PARTS.exists()
_PARTED = _parted.label("parted")

FENCED = JOBS.update().where(_my_lease, _live).returning(_columns.state)
"""Of ``the_job`` while ``the_token`` holds it."""
FENCED_VISIBLE = FENCED.values(**_VISIBLE)
"""The same, and readers are to see it."""
SUCCEED = (
    JOBS.update()
    .where(_my_lease, _columns.state == "running")
    .values(
        **_VISIBLE,
        state="succeeded",
        result=sa.bindparam("the_result", type_=_columns.result.type),
        finished_at=NOW,
        lease_token=None,
        lease_until=None,
    )
    .returning(_columns.owner, _columns.metadata, _HEARD, _PARTED)
)
"""Of ``the_job`` while ``the_token`` holds it and nobody wished it canceled, with ``the_result`` at ``now``.

Returns owner, metadata, heard, parted.
"""
SUCCEED_UNHEARD = SUCCEED.where(sa.not_(_heard), sa.not_(_parted))
"""The same, where no endpoint of a webhook is to be told and no part is left."""
CHANGE = JOBS.update().where(_this_job).values(**_VISIBLE)
"""Of ``the_job``, whoever holds it."""
END = CHANGE.returning(_HEARD, _PARTED)
"""The same, with its last state. Returns whether there is an endpoint of a webhook, and a part that has not ended."""

_too_far = sa.bindparam("too_far", type_=_columns.lease_until.type)
SHORTEN = JOBS.update().where(_live, _columns.lease_until > _too_far)
"""Leases that end after ``too_far``, which no living worker has written by the clock as it is now."""
RETRY_NOW = JOBS.update().where(_columns.state == "running", _columns.not_before > _too_far)
SEND_NOW = OUTBOX.update().where(OUTBOX.c.not_before > _too_far)

FORGET_MESSAGE = OUTBOX.delete().where(OUTBOX.c.job_id == sa.bindparam("the_job"))
FORGET_THIS_MESSAGE = FORGET_MESSAGE.where(OUTBOX.c.created_at == sa.bindparam("the_moment"))
"""Of ``the_job`` and ``the_moment`` alone: one that was written meanwhile stays."""
SENT = JOBS.update().where(_this_job)
ADD = JOBS.insert()
TELL = EVENTS.insert()
MESSAGE = OUTBOX.insert()
