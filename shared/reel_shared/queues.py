"""Queues as people run them: what waits and runs in each, and whether it is paused; called by the API and the pages.

A pause is a row. ``jobs.claim`` looks at it in the statement that takes a job, so that neither a restart nor a lost
broker undoes it. Jobs go on being accepted; their messages are taken from the broker and refused, and resuming rings
for all of them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from reel_shared import jobs
from reel_shared.contracts import QUEUES
from reel_shared.db.inserts import insert
from reel_shared.db.models import Job, OutboxMessage, QueuePause, utcnow
from reel_shared.errors import NotFound
from reel_shared.ids import new_id
from reel_shared.jobs import Message, State

log = structlog.get_logger(__name__)
AT_ONCE = 500
"""So many of the jobs that waited are sent when a queue is resumed; the reaper sends the others with its next step."""
_COUNTED = (State.QUEUED, State.RUNNING, State.CANCELING, State.FAILED)


@dataclass(frozen=True, slots=True)
class Standing:
    """One queue as it stands. ``running`` has those that are asked to stop, and those between two attempts."""

    name: str
    queued: int
    running: int
    failed: int
    oldest: datetime | None
    """Since when the first of the queued jobs has waited."""
    pause: QueuePause | None


def known(queue: str) -> str:
    """Return the queue's name. Raises NotFound."""
    if queue not in QUEUES:
        raise NotFound(f"There is no queue {queue!r}; the queues are {', '.join(QUEUES)}.")
    return queue


def pause(session: Session, queue: str, *, by: str, reason: str = "") -> QueuePause:
    """Let no worker claim from a queue until it is resumed. What runs ends as usual. Twice changes nothing.

    Args:
        by: the id of the key that asked for it.
    """
    added = insert(session, QueuePause).values(
        id=new_id("qps"), queue=known(queue), reason=reason, by=by, created_at=utcnow(), resumed_by=""
    )
    unfinished = QueuePause.resumed_at.is_(None)
    new = session.execute(
        added.on_conflict_do_nothing(index_elements=["queue"], index_where=unfinished).returning(
            QueuePause.id
        )
    ).one_or_none()
    if new is not None:
        log.info("queue.paused", queue=queue, by=by, reason=reason)
    return session.scalars(sa.select(QueuePause).where(QueuePause.queue == queue, unfinished)).one()


def resume(session: Session, queue: str, *, by: str) -> int:
    """Let workers claim from a queue again, and ring for what waits there. Twice changes nothing.

    Returns:
        how many jobs waited; 0 when the queue was not paused.
    """
    now = utcnow()
    ended = session.execute(
        sa.update(QueuePause)
        .where(QueuePause.queue == known(queue), QueuePause.resumed_at.is_(None))
        .values(resumed_at=now, resumed_by=by)
        .returning(QueuePause.id)
    ).one_or_none()
    if ended is None:
        return 0
    waiting = _ring(session, queue, now)
    log.info("queue.resumed", queue=queue, by=by, jobs=waiting)
    return waiting


def _ring(session: Session, queue: str, now: datetime) -> int:
    """Write a message for every waiting job that has none, and send the oldest as soon as this is committed."""
    waiting = sa.select(Job.id, Job.kind, Job.not_before, sa.literal(now, Job.created_at.type)).where(
        Job.queue == queue,
        sa.or_(
            Job.state == State.QUEUED,
            sa.and_(Job.state == State.RUNNING, Job.lease_until.is_(None)),
        ),
    )
    columns = ["job_id", "kind", "not_before", "created_at"]
    session.execute(insert(session, OutboxMessage).from_select(columns, waiting).on_conflict_do_nothing())
    due = sa.or_(OutboxMessage.not_before.is_(None), OutboxMessage.not_before <= now)
    mine = sa.select(OutboxMessage.job_id, OutboxMessage.created_at, OutboxMessage.kind).join(
        Job, Job.id == OutboxMessage.job_id
    )
    mine = mine.where(Job.queue == queue)
    oldest = session.execute(mine.where(due).order_by(Job.created_at, Job.id).limit(AT_ONCE)).all()
    session.info.setdefault(jobs.SUBMITTED, []).extend(Message(*row) for row in oldest)
    return session.scalar(sa.select(sa.func.count()).select_from(mine.subquery())) or 0


def standing(session: Session, *, owner: str | None = None) -> list[Standing]:
    """Return every queue as it stands, in the pipeline's order.

    Parts of jobs wait and run like others; their ends are not counted beside that of the job itself. What succeeded is
    not counted: of many jobs most have, and to count them is most of the work.

    Args:
        owner: count this owner's jobs only.
    """
    counted = sa.and_(Job.state.in_(_COUNTED), sa.or_(Job.part.is_(None), Job.state != State.FAILED))
    query = (
        sa.select(Job.queue, Job.state, sa.func.count(), sa.func.min(Job.created_at))
        .where(counted)
        .group_by(Job.queue, Job.state)
    )
    if owner is not None:
        query = query.where(Job.owner == owner)
    counts, oldest = {}, {}
    for queue, state, count, since in session.execute(query):
        counts[queue, state], oldest[queue, state] = count, since
    pauses = {row.queue: row for row in session.scalars(_in_force())}
    return [
        Standing(
            name,
            queued=counts.get((name, State.QUEUED), 0),
            running=counts.get((name, State.RUNNING), 0) + counts.get((name, State.CANCELING), 0),
            failed=counts.get((name, State.FAILED), 0),
            oldest=oldest.get((name, State.QUEUED)),
            pause=pauses.get(name),
        )
        for name in QUEUES
    ]


def paused(session: Session) -> set[str]:
    """Return the names of the queues that are paused."""
    return {row.queue for row in session.scalars(_in_force())}


def _in_force() -> sa.Select[QueuePause]:
    return sa.select(QueuePause).where(QueuePause.resumed_at.is_(None))
