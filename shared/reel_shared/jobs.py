"""The job state machine, the only writer of ``jobs`` rows: submit, claim, heartbeat, progress, cancel, end.

Delivery of a message never means permission: a claim takes a lease with a fencing token, and every later
write names that token. APIs call ``submit`` and ``cancel``, the runner the rest, the reaper ``expire``.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared import contracts, job_writes, webhooks
from reel_shared import job_statements as statements
from reel_shared.contracts.base import stored
from reel_shared.db.models import Job, OutboxMessage, utcnow
from reel_shared.errors import AttemptsExhausted, Conflict, JobTimeout, LeaseLost, NotFound, ReelError
from reel_shared.ids import new_id
from reel_shared.job_statements import run
from reel_shared.pipelines import follow_ups
from reel_shared.settings import settings
from reel_shared.tracing import submitting


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL = frozenset(map(State, contracts.TERMINAL))
SUBMITTED = "reel_submitted"
"""Where a session keeps the messages of the jobs submitted in it; they are sent once it has committed."""
EXPIRE_BATCH = 500
"""How many jobs one call of ``expire`` handles, so that its transaction stays short."""
LIVE = frozenset({State.RUNNING, State.CANCELING})


class Message(NamedTuple):
    """A row of the outbox."""

    job_id: str
    created_at: datetime
    kind: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one job until it is lost; ``token`` fences every write."""

    job_id: str
    token: str
    kind: str
    attempt: int
    max_attempts: int
    request: dict[str, Any]
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job leaves: its result, and the rows to write in the transaction that finishes it."""

    result: contracts.Model
    write: Callable[[Session], None] | None = None


def submit(
    session: Session,
    kind: contracts.Kind,
    request: contracts.Model,
    *,
    owner: str = "",
    labels: dict[str, Any] | None = None,
    parent_id: str | None = None,
    part: int | None = None,
    total: int | None = None,
) -> Job:
    """Add a queued job and its outbox message to the caller's transaction.

    Args:
        parent_id: the job that this one follows, or, with ``part``, the job that it is a part of.
        part: its number within the parent, which waits for it and takes it along when it ends; see ``fan_out``.
        total: how far its progress will count.
    """
    job = job_writes.new_job(
        id=new_id("job"),
        kind=kind.name,
        queue=kind.queue,
        max_attempts=kind.max_attempts,
        request=request.model_dump(mode="json"),
        owner=owner,
        labels=labels or {},
        parent_id=parent_id,
        part=part,
        progress_total=total,
        created_at=utcnow(),
    )
    with submitting(kind.name, kind.queue, job.id) as (job.request_id, job.traceparent):
        job_writes.add(session, job)
    session.info.setdefault(SUBMITTED, []).append(Message(job.id, job.created_at, kind.name))
    return job


def get(session: Session, job_id: str) -> Job:
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def claim(session: Session, job_id: str, *, kind: str | None = None) -> Lease | None:
    """Take the job if it waits or its lease ran out; None when another worker has it or it has ended.

    Args:
        kind: take it only when it is of this kind: what a message says is no proof.
    """
    now, token = utcnow(), new_id("lease")
    values = {
        "the_job": job_id,
        "now": now,
        "the_token": token,
        "the_end": _lease_end(now),
        "the_worker": f"{socket.gethostname()}:{os.getpid()}",
        **({"the_kind": kind} if kind else {}),
    }
    row = job_writes.claim(session, values)
    return Lease(job_id, token, **row._asdict()) if row is not None else None


def heartbeat(session: Session, lease: Lease) -> State:
    """Extend the lease and return the job's state, ``running`` or ``canceling``.

    Raises:
        LeaseLost: another worker owns the job, or it has ended.
    """
    return _update(session, lease, lease_until=_lease_end(utcnow()))


def progress(
    session: Session, lease: Lease, done: int, total: int | None = None, *, unit: str = "", message: str = ""
) -> State:
    """Record numeric progress, extending the lease too; returns the state like ``heartbeat``."""
    return _update(
        session,
        lease,
        visible=True,
        lease_until=_lease_end(utcnow()),
        progress_done=done,
        progress_total=total,
        progress_unit=unit,
        progress_message=message[:300],
    )


def metric(session: Session, lease: Lease, data: dict[str, Any], *, type: str = "metric") -> None:
    """Append figures to the job's events: a row, such as one epoch, or those of another type of event."""
    _update(session, lease, visible=True)
    _tell(session, lease.job_id, type, data)


def succeed_unheard(session: Session, lease: Lease, outcome: Outcome) -> bool:
    """End the job in one statement where its result is all there is to write; otherwise write nothing: False."""
    if outcome.write is not None:
        return False
    result = outcome.result.model_dump(mode="json")
    if any(follow_ups(lease.job_id, lease.kind, lease.request, result)):
        return False
    return job_writes.succeed(session, lease.job_id, lease.token, result, unheard=True) is not None


def succeed(session: Session, lease: Lease, outcome: Outcome) -> State:
    """End the job with its result, its rows and the jobs that follow it, all or nothing.

    A job whose cancel wish came first ends as canceled and writes no rows.
    """
    if outcome.write is not None:
        if _update(session, lease) == State.CANCELING:
            return end_canceled(session, lease)
        outcome.write(session)  # may still correct the result: another job may have stored the same picture
    result = outcome.result.model_dump(mode="json")
    job = job_writes.succeed(session, lease.job_id, lease.token, result)
    if job is None:
        return end_canceled(session, lease)
    _pass_on_end(session, lease.job_id, State.SUCCEEDED, job)
    for kind, request in follow_ups(lease.job_id, lease.kind, lease.request, result):
        submit(session, kind, request, owner=job.owner, labels=job.metadata, parent_id=lease.job_id)
    return State.SUCCEEDED


def fail(session: Session, lease: Lease, error: ReelError) -> State:
    """End the job with its error, or, when running it again may help, let it wait for its next attempt."""
    state = _update(session, lease)
    if state == State.CANCELING:
        return end_canceled(session, lease)
    if error.retryable and lease.attempt < lease.max_attempts:
        wait = backoff(lease.attempt)
        _give_back(session, lease.job_id, not_before=utcnow() + timedelta(seconds=wait))
        _event(session, lease.job_id, State.RUNNING, retry_in=round(wait, 1), error=error.problem())
        return State.RUNNING
    _end(session, lease.job_id, State.FAILED, error={**error.problem(), "attempts": lease.attempt})
    return State.FAILED


def end_canceled(session: Session, lease: Lease) -> State:
    _update(session, lease)
    _end(session, lease.job_id, State.CANCELED)
    return State.CANCELED


def release(session: Session, lease: Lease) -> None:
    """Give the lease back unharmed (the worker drains): the attempt does not count."""
    state = _update(session, lease)
    if state == State.CANCELING:
        end_canceled(session, lease)
        return
    _give_back(session, lease.job_id, attempt=lease.attempt - 1)
    _event(session, lease.job_id, State.RUNNING, released=True)


def cancel(session: Session, job_id: str) -> Job:
    """Cancel a waiting job at once; ask a running one, and its parts, to stop. Asking twice changes nothing.

    Raises:
        Conflict: the job has ended otherwise.
    """
    # Between the two tries the lease could be given back, and the wish would wait for a worker that is gone.
    session.execute(sa.select(Job.id).where(Job.id == job_id).with_for_update())
    waiting = sa.or_(
        Job.state == State.QUEUED, sa.and_(Job.state == State.RUNNING, Job.lease_until.is_(None))
    )
    if _compare_and_set(session, job_id, waiting, state=State.CANCELING):
        _end(session, job_id, State.CANCELED)
    elif _compare_and_set(session, job_id, Job.state == State.RUNNING, state=State.CANCELING):
        _event(session, job_id, State.CANCELING)
        cancel_parts(session, job_id)
    job = get(session, job_id)
    session.refresh(job)
    if job.state in (State.SUCCEEDED, State.FAILED):
        raise Conflict(f"The job has already {job.state}; there is nothing left to cancel.", state=job.state)
    return job


def replay(session: Session, job_id: str) -> Job:
    """Submit a failed or canceled job's request anew, as a new job that names the old one.

    Raises:
        Conflict: the job has not ended, or it succeeded, or it is a part of another.
    """
    old = get(session, job_id)
    if old.part is not None:
        raise Conflict(f"This job is a part of {old.parent_id}; try that one again.")
    if old.state not in (State.FAILED, State.CANCELED):
        raise Conflict(f"The job is {old.state}; only a failed or canceled one can be tried again.")
    kind = contracts.KINDS[old.kind]
    request = stored(kind.request, old.request)
    return submit(session, kind, request, owner=old.owner, labels={**old.labels, "replay_of": old.id})


def expire(session: Session, *, now: datetime | None = None) -> int:
    """Put jobs whose lease ran out back to waiting, end exhausted and long-waiting ones; returns how many.

    At most ``EXPIRE_BATCH``; none of them is found again, so the caller repeats while the batch is full.
    """
    now = now or utcnow()
    too_long_ago = now - timedelta(seconds=settings().jobs.queue_ttl_seconds)
    dead = sa.and_(Job.state.in_(LIVE), Job.lease_until < now)
    orphaned = sa.and_(Job.state == State.CANCELING, Job.lease_until.is_(None))
    spent = sa.and_(Job.state == State.RUNNING, Job.lease_until.is_(None), Job.attempt >= Job.max_attempts)
    held = Job.queue.in_(statements.held_since(too_long_ago))
    old = sa.and_(Job.state == State.QUEUED, Job.created_at < too_long_ago, sa.not_(held))
    left = sa.and_(
        sa.not_(held),
        Job.state == State.RUNNING,
        Job.lease_until.is_(None),
        sa.func.coalesce(Job.not_before, Job.sent_at) < too_long_ago,
    )
    rows = session.scalars(
        sa.select(Job)
        .where(sa.or_(dead, orphaned, spent, old, left))
        .limit(EXPIRE_BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for job in rows:
        _expire_one(session, job)
    return len(rows)


def _expire_one(session: Session, job: Job) -> None:
    if job.state == State.CANCELING:
        _end(session, job.id, State.CANCELED)
    elif job.state == State.QUEUED:
        error: ReelError = JobTimeout("No worker took the job in time; check that its service is running.")
        _end(session, job.id, State.FAILED, error=error.problem())
    elif job.attempt >= job.max_attempts:
        error = AttemptsExhausted(
            f"The worker died {job.attempt} times while running this job; the last one was {job.worker}."
        )
        _end(session, job.id, State.FAILED, error={**error.problem(), "attempts": job.attempt})
    elif job.lease_until is None:
        error = JobTimeout("No worker took the job up again in time; check that its service is running.")
        _end(session, job.id, State.FAILED, error={**error.problem(), "attempts": job.attempt})
    else:
        _event(session, job.id, State.RUNNING, lease_expired=True, worker=job.worker, attempt=job.attempt)
        _give_back(session, job.id)


def backoff(attempt: int) -> float:
    """Seconds to wait before the next attempt: exponential with full jitter on its upper half."""
    jobs = settings().jobs
    ceiling = min(jobs.retry_max_seconds, jobs.retry_base_seconds * 2.0 ** (attempt - 1))
    return ceiling * random.uniform(0.5, 1.0)


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings().jobs.lease_seconds)


def _update(session: Session, lease: Lease, *, visible: bool = False, **values: Any) -> State:
    """Write under the fencing token; with no values only check it, locking the row."""
    fence = {"the_job": lease.job_id, "the_token": lease.token}
    statement = statements.FENCED_VISIBLE if visible else statements.FENCED
    if not visible and not values:
        values = {"lease_token": lease.token}
    state = run(session, statement, fence | values).scalar_one_or_none()
    if state is None:
        raise LeaseLost(lease.job_id)
    return State(state)


def _compare_and_set(session: Session, job_id: str, condition: Any, **values: Any) -> bool:
    changed = session.execute(
        sa.update(Job)
        .where(Job.id == job_id, condition)
        .values(version=Job.version + 1, **values)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return changed.one_or_none() is not None


def _end(session: Session, job_id: str, state: State, *, error: dict[str, Any] | None = None) -> None:
    values = {
        "state": state,
        "error": error,
        "finished_at": utcnow(),
        "lease_token": None,
        "lease_until": None,
    }
    ended = run(session, statements.END, {"the_job": job_id, **values}).one()
    run(session, statements.FORGET_MESSAGE, {"the_job": job_id})
    _event(session, job_id, state, terminal=True, error=error)
    _pass_on_end(session, job_id, state, ended)


def _pass_on_end(session: Session, job_id: str, state: State, ended: sa.Row[Any]) -> None:
    """Tell webhooks where there are any (``ended.heard``), and what is left of the job's parts (``parted``)."""
    if ended.heard:
        webhooks.note_end(session, job_id, state)
    if ended.parted:
        cancel_parts(session, job_id)


def cancel_parts(session: Session, job_id: str) -> None:
    """Cancel what is left of a job's parts: nobody waits for them any more."""
    for part_id in run(session, statements.UNFINISHED_PARTS, {"the_job": job_id}).scalars().all():
        with suppress(Conflict):  # it has ended meanwhile
            cancel(session, part_id)


def _give_back(session: Session, job_id: str, **values: Any) -> None:
    """Leave the job running without a lease, with a message due so that a worker claims it again."""
    # ``sent_at`` anew, because the time it may wait begins now, however long the last attempt took.
    left = {"lease_token": None, "lease_until": None, "sent_at": utcnow(), **values}
    run(session, statements.CHANGE, {"the_job": job_id} | left)
    kind = session.execute(sa.select(Job.kind).where(Job.id == job_id)).scalar_one()
    session.merge(OutboxMessage(job_id=job_id, kind=kind, not_before=values.get("not_before")))


def _event(session: Session, job_id: str, state: State, *, terminal: bool = False, **data: Any) -> None:
    payload = {"state": state, **{key: value for key, value in data.items() if value is not None}}
    _tell(session, job_id, "state", payload, terminal=terminal)


def _tell(session: Session, job_id: str, type: str, data: dict[str, Any], *, terminal: bool = False) -> None:
    run(session, statements.TELL, {"job_id": job_id, "type": type, "data": data, "terminal": terminal})
