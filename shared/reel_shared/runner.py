"""Runs one job in a worker: claim, heartbeat, the service's function, and the end, whatever happens between.

``tasks.py`` of each service registers its functions with ``@task(KIND)``; nothing else talks to Celery.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from celery.signals import worker_shutting_down
from sqlalchemy.orm import Session

from reel_shared import jobs, outbox  # noqa: F401  its listener sends the jobs that follow
from reel_shared.celery_app import celery_app
from reel_shared.contracts import Kind, Model
from reel_shared.contracts.base import stored
from reel_shared.db.engine import transact, transaction
from reel_shared.errors import (
    Canceled,
    DatabaseUnavailable,
    JobTimeout,
    LeaseLost,
    ReelError,
    Unavailable,
    disk_is_full,
)
from reel_shared.heartbeats import heartbeats
from reel_shared.jobs import Lease, Outcome, State
from reel_shared.scratch import Scratch
from reel_shared.settings import settings
from reel_shared.telemetry import JOB_SECONDS, JOBS
from reel_shared.tracing import processing

log = structlog.get_logger(__name__)
RequestT = TypeVar("RequestT", bound=Model)
PROGRESS_EVERY_SECONDS = 0.5
EXIT_HARD_LIMIT = 70
JOB_ID = re.compile(r"job_[0-9a-f]{32}")

draining_since: float | None = None
"""When SIGTERM came, on the monotonic clock."""


class Drained(Exception):
    """The worker stops; the job goes back unharmed."""


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    global draining_since
    draining_since = draining_since or time.monotonic()


class Context:
    """What a job's function may do besides its work: report, and notice that it should stop."""

    def __init__(
        self, lease: Lease, *, time_limit: float, on_report: Callable[[], None] | None = None
    ) -> None:
        self.lease = lease
        self._on_report = on_report
        self._scratch: Scratch | None = None
        self._making = threading.Lock()
        self._limit = time_limit
        self._started = time.monotonic()
        self._reported = 0.0
        self._state = State.RUNNING
        self._lost = False

    @property
    def job_id(self) -> str:
        return self.lease.job_id

    @property
    def scratch(self) -> Path:
        """A folder for this job alone, made when it is first asked for and gone when the job ends."""
        with self._making:
            if self._scratch is None:
                self._scratch = _new_scratch(self.job_id)
        return self._scratch.path

    def close(self) -> None:
        if self._scratch is not None:
            self._scratch.remove()

    def check(self) -> None:
        """Raise when the job should stop. Call it between batches.

        Raises:
            Canceled: the owner asked for it.
            LeaseLost: another worker has the job.
            JobTimeout: the kind's time limit is over.
            Drained: the worker was told to stop and the grace is over.
        """
        if self._lost:
            raise LeaseLost(self.job_id)
        if self._state == State.CANCELING:
            raise Canceled
        if self.running_seconds > self._limit:
            raise JobTimeout(f"The job ran longer than its limit of {self._limit:g} s.")
        if draining_since and time.monotonic() - draining_since > settings().jobs.drain_seconds:
            raise Drained

    def progress(self, done: int, total: int | None = None, *, unit: str = "", message: str = "") -> None:
        """Report numeric progress, at most twice a second but for the start and end of a phase, and ``check``."""
        now = time.monotonic()
        edge = done == 0 or (total is not None and done >= total)
        if edge or now - self._reported >= PROGRESS_EVERY_SECONDS:
            self._reported = now
            self._write(
                lambda session: jobs.progress(session, self.lease, done, total, unit=unit, message=message)
            )
            if self._on_report:
                self._on_report()
        self.check()

    def metric(self, **data: Any) -> None:
        """Append a row of figures to the job's events."""
        self.note("metric", data)

    def note(
        self, type: str, data: dict[str, Any], *, write: Callable[[Session], None] = lambda session: None
    ) -> None:
        """Append an event of a type to the job's, and ``write`` what belongs to it in the same transaction."""

        def both(session: Session) -> None:
            jobs.metric(session, self.lease, data, type=type)  # under the fencing token, so it comes first
            write(session)

        transact(both)
        self.check()

    def beat(self) -> None:
        self._write(lambda session: jobs.heartbeat(session, self.lease))

    @property
    def running_seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float:
        """Until the job's time limit."""
        return self._limit - self.running_seconds

    @property
    def over_hard_limit(self) -> bool:
        return self.running_seconds > self._limit + settings().jobs.hard_limit_grace_seconds

    def _write(self, write: Callable[[Any], State]) -> None:
        try:
            with transaction() as session:
                self._state = write(session)
        except LeaseLost:
            self._lost = True
        except DatabaseUnavailable:
            # The lease may run out meanwhile; whoever claims the job then wins, and the token fences this one.
            log.warning("job.heartbeat_missed", job=self.job_id)


JobFunction = Callable[[Context, RequestT], Outcome]


def _beat(context: Context) -> None:
    """Extend the lease, and end a process whose job ignores its time limit."""
    context.beat()
    if not context.over_hard_limit:
        return
    error = JobTimeout("The job ran longer than its limit and did not stop when asked.")
    log.error("job.hard_limit", job=context.job_id)
    try:
        transact(lambda session: jobs.fail(session, context.lease, error))
    finally:
        os._exit(EXIT_HARD_LIMIT)  # the supervisor starts the worker again


def run_job(
    kind: Kind,
    function: JobFunction[Any],
    job_id: str,
    *,
    seconds_left: float | None = None,
    on_report: Callable[[], None] | None = None,
) -> State | None:
    """Claim the job and run ``function`` on it; None when the job is not this worker's to run.

    Args:
        seconds_left: bounds the kind's time limit, for a part that is run within its parent.
        on_report: called whenever the job's progress was written; what it raises ends the job like its own error.
    """
    lease = transact(lambda session: jobs.claim(session, job_id, kind=kind.name), alone=True)
    if lease is None:
        log.info("job.not_claimed", job=job_id)
        return None
    with (
        processing(kind.name, kind.queue, job_id, lease.attempt, lease.request_id, lease.traceparent) as span,
        structlog.contextvars.bound_contextvars(job=job_id, kind=kind.name, attempt=lease.attempt),
    ):
        log.info("job.started")
        limit = settings().jobs.time_limit_seconds or kind.time_limit
        limit = limit if seconds_left is None else min(limit, seconds_left)
        context = Context(lease, time_limit=limit, on_report=on_report)
        state = _beating(kind, function, context)
        seconds = context.running_seconds
        JOB_SECONDS.labels(kind=kind.name).observe(seconds)
        JOBS.labels(kind=kind.name, state=state or "lost").inc()
        log.info("job.ended", state=state or "lost", seconds=round(seconds, 2))
        span.note({"reel.job.state": state or "lost"}, failed=state == State.FAILED)
    return state


def _new_scratch(job_id: str) -> Scratch:
    """Make a job's folder, or say what a person can do when that is not possible."""
    try:
        return Scratch(job_id)
    except OSError as error:
        if disk_is_full(error):
            raise
        log.error("job.no_scratch", reason=str(error))
        raise Unavailable(
            "The worker cannot write to its data folder; check that it exists and who may write there."
        ) from error


def _beating(kind: Kind, function: JobFunction[Any], context: Context) -> State | None:
    every = settings().jobs.heartbeat_seconds
    try:
        # In a copy of this context, so that what the heartbeats' thread logs names the job and its trace too.
        with heartbeats.kept(context.job_id, partial(copy_context().run, _beat, context), every):
            return _attempt(kind, function, context)
    finally:
        context.close()


def _attempt(kind: Kind, function: JobFunction[Any], context: Context) -> State | None:
    lease = context.lease
    try:
        outcome = function(context, stored(kind.request, lease.request))
        if transact(lambda session: jobs.succeed_unheard(session, lease, outcome), alone=True):
            return State.SUCCEEDED
        return transact(lambda session: jobs.succeed(session, lease, outcome))
    except LeaseLost:
        return None
    except Exception as error:
        return _end_badly(lease, error)


def _end_badly(lease: Lease, error: Exception) -> State | None:
    try:
        if isinstance(error, Canceled):
            return transact(lambda session: jobs.end_canceled(session, lease))
        if isinstance(error, Drained):
            transact(lambda session: jobs.release(session, lease))
            return State.RUNNING
        known = _known(error)
        return transact(lambda session: jobs.fail(session, lease, known))
    except LeaseLost:
        return None


def _known(error: Exception) -> ReelError:
    if isinstance(error, ReelError):
        log.warning("job.failed", code=error.code, detail=error.detail)
        return error
    log.exception("job.crashed")
    if isinstance(error, ConnectionError | TimeoutError):
        return Unavailable("A part that the job needs did not answer.")
    if disk_is_full(error):
        return Unavailable("The worker's disk is full; free some space in its data folder.")
    return ReelError("The job met an error that it does not know; the worker's log has the story.")


def task(kind: Kind) -> Callable[[JobFunction[RequestT]], JobFunction[RequestT]]:
    """Register a function as what runs jobs of ``kind``."""

    def register(function: JobFunction[RequestT]) -> JobFunction[RequestT]:
        @celery_app().task(name=kind.name, shared=False)
        def run(job_id: str) -> None:
            # Anyone who reaches the broker may have written the message.
            if not isinstance(job_id, str) or not JOB_ID.fullmatch(job_id):
                log.warning("job.message_refused", kind=kind.name)
                return
            run_job(kind, function, job_id)

        return function

    return register
