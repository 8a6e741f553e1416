"""Random walks through the job state machine, each step compared with a model of six lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from reel_shared import contracts, jobs
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Job, JobEvent, OutboxMessage, utcnow
from reel_shared.errors import BadRequest, Conflict, LeaseLost, Unavailable
from reel_shared.jobs import Lease, Outcome, State
from reel_shared.testing.stack import Reel

RESULT = contracts.MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={})
WAITING = "waiting"
ENDED = {"succeeded", "failed", "canceled"}


@dataclass
class Expected:
    """What the model knows of one job: ``waiting`` is running without a lease."""

    state: str = "queued"
    attempt: int = 0
    token: str | None = None
    leases: list[Lease] = field(default_factory=list)

    def end(self, state: str) -> None:
        self.state, self.token = state, None


class JobLife(RuleBasedStateMachine):
    jobs_made = Bundle("jobs_made")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Expected] = {}

    @rule(target=jobs_made)
    def submit(self) -> str:
        with transaction() as session:
            job_id = jobs.submit(session, contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest()).id
        self.model[job_id] = Expected()
        return job_id

    @rule(job_id=jobs_made)
    def claim(self, job_id: str) -> None:
        known = self.model[job_id]
        with transaction() as session:
            session.execute(sa.update(Job).where(Job.id == job_id).values(not_before=None))
            lease = jobs.claim(session, job_id)
        if known.state in ("queued", WAITING):
            assert lease is not None
            known.state, known.attempt, known.token = "running", known.attempt + 1, lease.token
            known.leases.append(lease)
        else:
            assert lease is None

    @rule(job_id=jobs_made)
    def cancel(self, job_id: str) -> None:
        known = self.model[job_id]
        try:
            with transaction() as session:
                jobs.cancel(session, job_id)
        except Conflict:
            assert known.state in ("succeeded", "failed")
            return
        if known.state in ("queued", WAITING):
            known.end("canceled")
        elif known.state == "running":
            known.state = "canceling"

    @rule(job_id=jobs_made)
    def worker_dies(self, job_id: str) -> None:
        known = self.model[job_id]
        with transaction() as session:
            past = utcnow() - timedelta(seconds=1)
            alive = sa.and_(Job.id == job_id, Job.lease_until.is_not(None))
            session.execute(sa.update(Job).where(alive).values(lease_until=past))
            jobs.expire(session)
        if known.state == "canceling":
            known.end("canceled")
        elif known.state == "running":
            known.end("failed") if known.attempt == 3 else known.end(WAITING)

    @rule(
        job_id=jobs_made,
        which=st.integers(0, 9),
        end=st.sampled_from(["succeed", "fail", "retry", "release"]),
    )
    def finish(self, job_id: str, which: int, end: str) -> None:
        """Some worker that once had the job, not always the last one, ends its attempt."""
        known = self.model[job_id]
        if not known.leases:
            return
        lease = known.leases[which % len(known.leases)]
        try:
            with transaction() as session:
                if end == "succeed":
                    jobs.succeed(session, lease, Outcome(RESULT))
                elif end == "release":
                    jobs.release(session, lease)
                else:
                    jobs.fail(session, lease, Unavailable("away") if end == "retry" else BadRequest("no"))
        except LeaseLost:
            assert lease.token != known.token
            return
        assert lease.token == known.token
        if known.state == "canceling":
            known.end("canceled")
        elif end == "succeed":
            known.end("succeeded")
        elif end == "release":
            known.end(WAITING)
            known.attempt -= 1
        elif end == "retry" and known.attempt < 3:
            known.end(WAITING)
        else:
            known.end("failed")

    @rule(job_id=jobs_made, which=st.integers(0, 9))
    def beat(self, job_id: str, which: int) -> None:
        known = self.model[job_id]
        if not known.leases:
            return
        lease = known.leases[which % len(known.leases)]
        try:
            with transaction() as session:
                assert jobs.heartbeat(session, lease) == known.state
        except LeaseLost:
            assert lease.token != known.token
        else:
            assert lease.token == known.token

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        with reading() as session:
            rows = {row.id: row for row in session.scalars(sa.select(Job).where(Job.id.in_(self.model)))}
            messages = set(session.scalars(sa.select(OutboxMessage.job_id)))
        for job_id, known in self.model.items():
            row = rows[job_id]
            waits = row.state == State.RUNNING and row.lease_until is None
            assert (WAITING if waits else row.state) == known.state
            assert row.attempt == known.attempt
            assert row.lease_token == known.token
            assert (row.finished_at is not None) == (known.state in ENDED)
            assert (job_id in messages) == (known.state in ("queued", WAITING)), "a bell for each that waits"

    @invariant()
    def every_end_is_told_once_and_last(self) -> None:
        with reading() as session:
            query = sa.select(JobEvent).where(JobEvent.job_id.in_(self.model)).order_by(JobEvent.id)
            told = list(session.scalars(query))
        for job_id, known in self.model.items():
            ends = [event.terminal for event in told if event.job_id == job_id]
            assert ends.count(True) == (known.state in ENDED)
            assert not any(ends[:-1])


def test_random_walks_agree_with_the_model(reel_database: Reel, sqlite_url: str) -> None:
    reel_database.configure(jobs__lease_seconds=600)
    quick = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(JobLife, settings=quick)
