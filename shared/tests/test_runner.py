"""One job in a worker: what its function may do, and how each way of ending is recorded."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from reel_shared import contracts, jobs, runner
from reel_shared.celery_app import celery_app
from reel_shared.db.engine import reading, transact, transaction
from reel_shared.db.models import Job, JobEvent, utcnow
from reel_shared.errors import BadPicture, StorageUnavailable
from reel_shared.jobs import Outcome, State
from reel_shared.runner import Context, run_job, task
from reel_shared.telemetry import JOBS
from reel_shared.testing.stack import Reel

KIND = contracts.MAKE_VARIANTS
RESULT = contracts.MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={})


@pytest.fixture(autouse=True)
def kernel(reel_database: Reel) -> Reel:
    reel_database.configure(jobs__lease_seconds=0.6, jobs__heartbeat_seconds=0.1)
    return reel_database


def submit() -> str:
    with transaction() as session:
        return jobs.submit(session, KIND, contracts.MakeVariantsRequest(label="mulan")).id


def job(job_id: str) -> Job:
    with reading() as session:
        return jobs.get(session, job_id)


def change(job_id: str, **values: Any) -> None:
    with transaction() as session:
        session.execute(sa.update(Job).where(Job.id == job_id).values(**values))


def run(function: Callable[[Context, Any], Outcome], job_id: str | None = None) -> tuple[State | None, Job]:
    job_id = job_id or submit()
    return run_job(KIND, function, job_id), job(job_id)


def finish(_context: Context, _request: Any) -> Outcome:
    return Outcome(RESULT)


def until_stopped(context: Context, _request: Any) -> Outcome:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        time.sleep(0.01)
        context.check()
    pytest.fail("was not stopped")


def test_the_function_gets_the_validated_request_and_its_result_is_kept() -> None:
    seen = []

    def function(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        seen.append((context.job_id, request.label, context.lease.attempt))
        return Outcome(RESULT)

    state, after = run(function)
    assert (state, after.state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert seen == [(after.id, "mulan", 1)]
    assert after.result == RESULT.model_dump(mode="json")
    assert after.started_at is not None
    assert after.finished_at is not None
    assert after.created_at <= after.started_at <= after.finished_at


def test_a_job_that_another_worker_has_is_not_run() -> None:
    job_id = submit()
    transact(lambda session: jobs.claim(session, job_id))
    assert run(until_stopped, job_id)[0] is None


def test_heartbeats_keep_the_lease_of_a_job_that_reports_nothing() -> None:
    def quiet(_context: Context, _request: Any) -> Outcome:
        for _ in range(4):
            time.sleep(0.4)
            with transaction() as session:
                assert jobs.expire(session) == 0
        return Outcome(RESULT)

    assert run(quiet)[0] == State.SUCCEEDED


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (BadPicture("torn"), State.FAILED, "bad-picture"),
        (ZeroDivisionError("secret detail"), State.FAILED, "internal"),
        (StorageUnavailable("away"), State.RUNNING, None),
        (ConnectionResetError("peer"), State.RUNNING, None),
        (TimeoutError("slow"), State.RUNNING, None),
    ],
)
def test_an_error_ends_the_job_or_has_it_run_again(error: Exception, state: State, code: str | None) -> None:
    def function(_context: Context, _request: Any) -> Outcome:
        raise error

    answered, after = run(function)
    assert (answered, after.state) == (state, state)
    assert after.lease_token is None
    if code is not None:
        assert after.error is not None
        assert after.error["type"].endswith(code)
        assert "secret detail" not in str(after.error), "an unknown error's text belongs in the log"


def test_an_error_in_the_rows_of_the_result_leaves_none_of_them() -> None:
    def write(session: Any) -> None:
        session.add(JobEvent(job_id="job_unknown", type="state", data={}))
        session.flush()

    state, after = run(lambda _context, _request: Outcome(RESULT, write))
    assert state == after.state == State.FAILED
    assert after.result is None


def test_a_request_that_no_longer_fits_its_model_fails_the_job() -> None:
    job_id = submit()
    change(job_id, request={"seed": "not a number"})
    state, after = run(finish, job_id)
    assert state == State.FAILED
    assert after.error is not None


def test_cancel_reaches_the_function_through_the_next_heartbeat() -> None:
    def function(context: Context, request: Any) -> Outcome:
        transact(lambda session: jobs.cancel(session, context.job_id))
        return until_stopped(context, request)

    state, after = run(function)
    assert state == after.state == State.CANCELED


def test_cancel_reaches_the_function_at_its_next_report_too(kernel: Reel) -> None:
    kernel.configure(jobs__lease_seconds=60, jobs__heartbeat_seconds=50)

    def function(context: Context, _request: Any) -> Outcome:
        transact(lambda session: jobs.cancel(session, context.job_id))
        context.progress(1, 10)
        pytest.fail("went on")

    assert run(function)[0] == State.CANCELED


def test_the_time_limit_ends_the_job_with_timeout(kernel: Reel) -> None:
    kernel.configure(jobs__time_limit_seconds=0.3)
    state, after = run(until_stopped)
    assert state == State.FAILED
    assert after.error is not None
    assert after.error["type"].endswith("timeout")
    assert after.error["attempts"] == 1


def test_a_worker_that_drains_gives_the_job_back(monkeypatch: pytest.MonkeyPatch, kernel: Reel) -> None:
    kernel.configure(jobs__drain_seconds=0.2)
    monkeypatch.setattr(runner, "draining_since", time.monotonic())
    state, after = run(until_stopped)
    assert (state, after.state, after.attempt) == (State.RUNNING, State.RUNNING, 0)


def test_a_worker_that_lost_its_lease_stops_and_writes_nothing() -> None:
    def function(context: Context, request: Any) -> Outcome:
        change(context.job_id, lease_until=utcnow() - timedelta(seconds=1))
        with transaction() as session:
            assert jobs.claim(session, context.job_id) is not None
        return until_stopped(context, request)

    state, after = run(function)
    assert state is None
    assert (after.state, after.attempt) == (State.RUNNING, 2)


def test_progress_is_written_at_most_twice_a_second_and_always_at_start_and_end() -> None:
    def function(context: Context, _request: Any) -> Outcome:
        before = job(context.job_id).version
        for done in range(1, 101):
            context.progress(done, 100, unit="frames", message="m" * 1000)
        after = job(context.job_id)
        assert after.version - before <= 3
        assert (after.progress_done, after.progress_total, after.progress_unit) == (100, 100, "frames")
        assert len(after.progress_message) == 300
        context.progress(0, unit="frames", message="the next phase")
        assert job(context.job_id).progress_message == "the next phase"
        return Outcome(RESULT)

    assert run(function)[0] == State.SUCCEEDED


def test_metrics_become_events_in_order() -> None:
    def function(context: Context, _request: Any) -> Outcome:
        for epoch in (1, 2):
            context.metric(epoch=epoch, accuracy=0.5)
        return Outcome(RESULT)

    _, after = run(function)
    with reading() as session:
        query = sa.select(JobEvent.data).where(JobEvent.job_id == after.id, JobEvent.type == "metric")
        rows = session.scalars(query.order_by(JobEvent.id)).all()
    assert rows == [{"epoch": 1, "accuracy": 0.5}, {"epoch": 2, "accuracy": 0.5}]


@pytest.mark.parametrize("end", [None, ValueError])
def test_scratch_space_is_there_during_the_job_and_gone_after_it(end: type[Exception] | None) -> None:
    places: list[Path] = []

    def function(context: Context, _request: Any) -> Outcome:
        places.append(context.scratch)
        (context.scratch / "frame.jpg").write_bytes(b"x")
        if end is not None:
            raise end
        return Outcome(RESULT)

    run(function)
    assert len(places) == 1
    assert not places[0].exists()


@pytest.fixture
def no_room(kernel: Reel) -> None:
    """A data folder in which nothing can be made, not even by root."""
    (kernel.data_dir / "scratch").write_bytes(b"in the way")


def test_a_worker_that_cannot_make_the_jobs_folder_says_so_in_the_job(no_room: None) -> None:
    def function(context: Context, _request: Any) -> Outcome:
        pytest.fail(f"{context.scratch} was made")

    job_id = submit()
    states = []
    for _ in range(3):
        change(job_id, not_before=None)
        states.append(run(function, job_id)[0])
        assert job(job_id).lease_token is None, "nobody works on it"
    assert states == [State.RUNNING, State.RUNNING, State.FAILED]
    error = job(job_id).error
    assert error is not None
    assert "cannot write to its data folder" in error["detail"]


@pytest.mark.parametrize("where", ["folder", "work"])
def test_a_full_disk_is_named_and_the_job_waits_for_space(kernel: Reel, where: str) -> None:
    def full(context: Any, *_: Any) -> Any:
        if where == "folder" and isinstance(context, Context):
            return context.scratch
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "folder":
        kernel.monkeypatch.setattr(runner, "Scratch", full)
    job_id = submit()
    change(job_id, attempt=1)
    assert run(full, job_id)[0] == State.RUNNING
    change(job_id, not_before=None)
    state, after = run(full, job_id)
    assert state == State.FAILED
    assert after.error is not None
    assert "disk is full" in after.error["detail"]


def test_no_heartbeat_outlives_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    beats = []
    monkeypatch.setattr(Context, "beat", lambda self: beats.append(self.job_id))

    def work(_context: Context, _request: Any) -> Outcome:
        time.sleep(0.35)
        return Outcome(RESULT)

    run(work)
    assert len(beats) >= 2
    count = len(beats)
    time.sleep(0.3)
    assert len(beats) == count


def test_every_end_of_an_attempt_is_counted() -> None:
    def counted(state: str) -> float:
        return JOBS.labels(kind=KIND.name, state=state)._value.get()

    before = {state: counted(state) for state in ("succeeded", "failed")}
    run(finish)
    run(lambda _context, _request: 1 / 0)  # type: ignore[arg-type, return-value]
    assert {state: counted(state) - before[state] for state in before} == {"succeeded": 1, "failed": 1}


RUBBISH = [
    7,
    None,
    True,
    [],
    {"a": 1},
    "",
    "job_",
    "job_" + "g" * 32,
    "job_" + "0" * 33,
    "' OR 1=1",
    "x" * 10**6,
]


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda value: repr(value)[:20])
def test_a_message_without_a_jobs_id_is_refused_before_the_database_is_asked(
    kernel: Reel, rubbish: object
) -> None:
    ran = []
    task(KIND)(lambda context, _request: ran.append(context))  # type: ignore[arg-type, return-value]
    kernel.monkeypatch.setattr(runner, "transact", lambda _: ran.append("database"))
    celery_app().tasks[KIND.name](rubbish)
    assert ran == []


def test_a_job_of_another_kind_is_not_run_by_a_message_that_says_so() -> None:
    job_id = submit()
    assert run_job(contracts.TRAIN_MODEL, until_stopped, job_id) is None
    assert job(job_id).state == State.QUEUED
