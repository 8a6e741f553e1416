"""One job done as many: its parts are jobs of their own, run by whichever worker is free and by the parent itself.

Called by job functions whose work can be cut. The parts are rows like every job, with ``parent_id`` and ``part``,
so that a worker that dies costs one part; the parent claims waiting parts just as workers do, so that one worker
alone finishes them all and no parent ever waits for a worker that it holds itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared import errors, jobs, runner
from reel_shared.contracts import Kind, Model
from reel_shared.contracts.base import stored
from reel_shared.db.engine import reading, transact
from reel_shared.db.models import Job, utcnow
from reel_shared.errors import Conflict, DatabaseUnavailable, LeaseLost
from reel_shared.jobs import State
from reel_shared.runner import Context, Drained, JobFunction

RequestT = TypeVar("RequestT", bound=Model)
POLL_SECONDS = 0.25
_ENDED_BADLY = (State.FAILED, State.CANCELED)


class Part(NamedTuple):
    """One part's request, and how far its progress counts; all parts of a job count in the same unit."""

    request: Model
    total: int


def fan_out(
    context: Context,
    kind: Kind,
    function: JobFunction[RequestT],
    parts: Sequence[Part],
    *,
    unit: str,
) -> list[Any]:
    """Have every part done and return their results, ``kind.result`` each, in the parts' order.

    ``context`` is the parent's. Its progress becomes the sum of the parts'. A later attempt of the parent goes on
    with the parts of the one before, and submits only those again that failed with what may pass. So ``parts`` must
    be the same in every attempt. A job may fan out once for each ``kind``.

    Args:
        kind: the parts' kind, in a queue of workers that know ``function``.
        function: what runs a part here; the one that is registered for ``kind``.
        unit: what the totals count, for people.

    Raises:
        ReelError: a part has failed; with the part's reason, to be tried again when the part's error was. If not,
            the other parts are canceled.
        Canceled, JobTimeout, LeaseLost: as ``Context.check`` does; the runner takes the parts along.
        Drained: the worker was told to stop while parts were left; they go on elsewhere.
    """
    work = _Work(
        context, kind, unit, transact(lambda session: _submit_missing(session, context, kind, parts))
    )
    while True:
        found = work.look()
        work.report(found)
        work.refuse_failed(found)
        if all(part.state == State.SUCCEEDED for part in found):
            return transact(work.results)
        if runner.draining_since:
            raise Drained
        # From the back, because workers take them from the front: they meet only at the end.
        waiting = (part.id for part in reversed(found) if part.waits)
        if not any(work.run(function, part_id) for part_id in waiting):
            time.sleep(POLL_SECONDS)


def earlier_parts(context: Context, kind: Kind) -> list[Any]:
    """Return the requests, ``kind.request`` each, that an earlier attempt of the parent has made, in order.

    For what must stay the same in every attempt although the world has changed. None when nothing was submitted.
    """

    def look(session: Session) -> list[Any]:
        query = sa.select(Job.request).where(
            Job.parent_id == context.job_id, Job.kind == kind.name, Job.part.is_not(None)
        )
        found = session.scalars(query.order_by(Job.part, Job.created_at))
        return [stored(kind.request, request) for request in found]

    return transact(look)


def _submit_missing(session: Session, context: Context, kind: Kind, parts: Sequence[Part]) -> list[str]:
    """Return the ids of the parts' jobs, submitting those that no job does yet. Fenced by the parent's lease."""
    jobs.heartbeat(session, context.lease)
    parent = jobs.get(session, context.job_id)
    submitted = session.scalars(
        sa.select(Job).where(Job.parent_id == parent.id, Job.kind == kind.name, Job.part.is_not(None))
    ).all()
    if submitted:
        _require_same(submitted, parts)
    standing = {job.part: job for job in submitted if not _may_pass(job)}
    for number, part in enumerate(parts):
        if number not in standing:
            standing[number] = jobs.submit(
                session,
                kind,
                part.request,
                owner=parent.owner,
                labels=parent.labels,
                parent_id=parent.id,
                part=number,
                total=part.total,
            )
    return [standing[number].id for number in range(len(parts))]


def _require_same(submitted: Sequence[Job], parts: Sequence[Part]) -> None:
    before = {job.part: job.request for job in submitted}
    if before != {number: part.request.model_dump(mode="json") for number, part in enumerate(parts)}:
        raise Conflict("An earlier attempt had cut the job into other parts; submit it again as a new one.")


def _may_pass(job: Job) -> bool:
    """Whether the part failed with what may have passed since."""
    return job.state == State.FAILED and errors.from_problem(job.error or {}).retryable


@dataclass(frozen=True, slots=True)
class _Found:
    """What is seen of one part."""

    id: str
    state: str
    done: int
    total: int
    error: dict[str, Any] | None
    waits: bool
    """Whether it can be claimed now."""


class _Work:
    """The parts of one parent while it works on them."""

    def __init__(self, context: Context, kind: Kind, unit: str, ids: list[str]) -> None:
        self._context, self._kind, self._unit, self._ids = context, kind, unit, ids
        self._mine = sa.and_(
            Job.parent_id == context.job_id, Job.kind == kind.name, Job.part.is_not(None), Job.id.in_(ids)
        )
        self._told: tuple[int, int] | None = None

    def look(self) -> list[_Found]:
        """Return the parts as they stand, in order."""
        return transact(self._look)

    def _look(self, session: Session) -> list[_Found]:
        now = utcnow()
        free = sa.or_(Job.lease_until.is_(None), Job.lease_until < now)
        waits = sa.and_(
            sa.or_(Job.state == State.QUEUED, sa.and_(Job.state == State.RUNNING, free)),
            sa.or_(Job.not_before.is_(None), Job.not_before <= now),
            Job.attempt < Job.max_attempts,
        )
        query = sa.select(
            Job.id, Job.state, Job.progress_done, Job.progress_total, Job.error, waits.label("waits")
        )
        return [
            _Found(row.id, row.state, row.progress_done, row.progress_total or 0, row.error, bool(row.waits))
            for row in session.execute(query.where(self._mine).order_by(Job.part))
        ]

    def report(self, found: list[_Found]) -> None:
        """Write the parent's progress when it has changed, and stop when the parent should."""
        total = sum(part.total for part in found)
        done = sum(part.total if part.state == State.SUCCEEDED else part.done for part in found)
        ready = sum(part.state == State.SUCCEEDED for part in found)
        if self._told == (done, ready):
            self._context.check()
            return
        self._told = (done, ready)
        message = f"{ready} of {len(found)} parts done"
        self._context.progress(min(done, total), total, unit=self._unit, message=message)

    def refuse_failed(self, found: list[_Found]) -> None:
        ended = [part for part in found if part.state in _ENDED_BADLY]
        if not ended:
            return
        # A part is also canceled because the parent is, and the parent learns of that by its own heartbeat.
        self._context.beat()
        self._context.check()
        told = next((part for part in ended if part.error is not None), ended[0])
        reason = told.error or Conflict("A part of the job was canceled; submit the job again.").problem()
        error = errors.from_problem(reason, part_id=told.id)
        if not error.retryable:
            transact(lambda session: jobs.cancel_parts(session, self._context.job_id))
        raise error

    def run(self, function: JobFunction[Any], part_id: str) -> bool:
        """Run a part here unless a worker was quicker; says whether it was run."""
        ended = runner.run_job(
            self._kind,
            function,
            part_id,
            seconds_left=self._context.seconds_left,
            on_report=self._report_between,
        )
        return ended is not None

    def _report_between(self) -> None:
        """Keep the parent's progress true, and its wish to stop heard, while one of its parts runs here."""
        # The part has a lease of its own: when only the parent's is lost, it is still of use to the next parent.
        with suppress(LeaseLost, DatabaseUnavailable):
            with reading() as session:
                found = self._look(session)
            self.report(found)

    def results(self, session: Session) -> list[Any]:
        query = sa.select(Job.result).where(self._mine).order_by(Job.part)
        return [stored(self._kind.result, result) for result in session.scalars(query)]
