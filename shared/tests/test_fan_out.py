"""A job done as many: who runs the parts, and what becomes of them when the parent ends, dies or stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from reel_shared import contracts, jobs, runner
from reel_shared.db.engine import reading, transact, transaction
from reel_shared.db.models import Job, utcnow
from reel_shared.errors import BadMovie, Conflict, LeaseLost, StorageUnavailable, from_problem
from reel_shared.fan_out import Part, fan_out
from reel_shared.jobs import Outcome, State
from reel_shared.runner import Context, run_job
from reel_shared.testing.stack import Reel

WHOLE, PIECE = contracts.PREDICT_PICTURES, contracts.MAKE_VARIANTS
RESULT = contracts.MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={})
Function = Callable[[Context, contracts.MakeVariantsRequest], Outcome]


@pytest.fixture(autouse=True)
def kernel(reel_database: Reel, monkeypatch: pytest.MonkeyPatch) -> Reel:
    reel_database.configure(
        jobs__lease_seconds=0.8, jobs__heartbeat_seconds=0.1, jobs__retry_base_seconds=0.01
    )
    monkeypatch.setattr("reel_shared.fan_out.POLL_SECONDS", 0.02)
    monkeypatch.setattr(runner, "PROGRESS_EVERY_SECONDS", 0.0)
    return reel_database


def requests(count: int) -> list[Part]:
    return [Part(contracts.MakeVariantsRequest(seed=number), 10) for number in range(count)]


def submit(**more: Any) -> str:
    request = contracts.PredictPicturesRequest(keys=["pictures/a.jpg"])
    with transaction() as session:
        return jobs.submit(session, WHOLE, request, owner="key_1", labels={"batch": 7}, **more).id


def whole(piece: Function, *, count: int = 3, seen: list[Any] | None = None) -> Callable[..., Outcome]:
    """A parent's function that has ``count`` parts done by ``piece``."""

    def function(context: Context, _request: Any) -> Outcome:
        results = fan_out(context, PIECE, piece, requests(count), unit="pictures")
        if seen is not None:
            seen.extend(results)
        return Outcome(RESULT)

    return function


def run(job_id: str, piece: Function, *, count: int = 3, seen: list[Any] | None = None) -> Job:
    run_job(WHOLE, whole(piece, count=count, seen=seen), job_id)
    return job(job_id)


def numbered(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
    context.progress(5, 10, unit="pictures")
    return Outcome(RESULT.model_copy(update={"sources": request.seed}))


def job(job_id: str) -> Job:
    with reading() as session:
        return jobs.get(session, job_id)


def parts_of(job_id: str) -> list[Job]:
    with reading() as session:
        query = sa.select(Job).where(Job.parent_id == job_id).order_by(Job.part, Job.created_at)
        return list(session.scalars(query))


def change(job_id: str, **values: Any) -> None:
    with transaction() as session:
        session.execute(sa.update(Job).where(Job.id == job_id).values(**values))


# --- who does the work --------------------------------------------------------------------------------------


def test_one_worker_alone_does_every_part(databases: str) -> None:
    seen: list[Any] = []
    done = run(submit(), numbered, seen=seen)
    assert done.state == State.SUCCEEDED
    assert [result.sources for result in seen] == [0, 1, 2]
    assert (done.progress_done, done.progress_total, done.progress_unit) == (30, 30, "pictures")
    assert done.progress_message == "3 of 3 parts done"
    parts = parts_of(done.id)
    assert [(part.part, part.state, part.attempt) for part in parts] == [
        (n, "succeeded", 1) for n in range(3)
    ]
    assert {(part.owner, part.labels["batch"]) for part in parts} == {("key_1", 7)}


def test_another_worker_takes_its_share(databases: str) -> None:
    """It gets the messages in order; who has a part is settled by the claim."""
    job_id = submit()
    ran: list[tuple[str, int]] = []

    def piece(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        ran.append((threading.current_thread().name, request.seed))
        for _ in range(10):
            time.sleep(0.01)
            context.check()
        return numbered(context, request)

    def other_worker() -> None:
        while not parts_of(job_id):
            time.sleep(0.01)
        for part in parts_of(job_id):
            run_job(PIECE, piece, part.id)

    other = threading.Thread(target=other_worker, name="other")
    other.start()
    seen: list[Any] = []
    done = run(job_id, piece, count=6, seen=seen)
    other.join()
    assert done.state == State.SUCCEEDED
    assert [result.sources for result in seen] == list(range(6))
    assert sorted(seed for _, seed in ran) == list(range(6)), "each part ran once"
    assert len({name for name, _ in ran}) == 2


def test_the_parents_progress_is_the_sum_while_a_part_runs_in_it() -> None:
    job_id, told = submit(), []

    def piece(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        for done in (4, 8):
            context.progress(done, 10, unit="pictures")
            told.append((job(job_id).progress_done, job(job_id).progress_message))
        return Outcome(RESULT)

    run(job_id, piece, count=2)
    first, second = "0 of 2 parts done", "1 of 2 parts done"
    assert told == [(4, first), (8, first), (14, second), (18, second)]


def test_both_leases_are_kept_while_a_part_runs_in_the_parent() -> None:
    def slow(_context: Context, _request: Any) -> Outcome:
        for _ in range(4):
            time.sleep(0.4)
            with transaction() as session:
                assert jobs.expire(session) == 0
        return Outcome(RESULT)

    done = run(submit(), slow, count=1)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 1)


def test_a_part_that_waits_for_its_next_attempt_is_waited_for() -> None:
    def stumble(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        if context.lease.attempt < 3:
            raise StorageUnavailable("away")
        return numbered(context, request)

    done = run(submit(), stumble)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 1)
    assert [part.attempt for part in parts_of(done.id)] == [3, 3, 3]


# --- failing ------------------------------------------------------------------------------------------------


def test_a_failed_part_fails_the_parent_with_its_reason_and_stops_the_others() -> None:
    def piece(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        if request.seed == 1:
            raise BadMovie("The film is torn.")
        return numbered(context, request)

    done = run(submit(), piece)
    assert (done.state, done.attempt) == (State.FAILED, 1)
    parts = parts_of(done.id)
    assert done.error is not None
    assert done.error["type"] == "urn:reelsight:problem:bad-movie"
    assert (done.error["detail"], done.error["part_id"]) == ("The film is torn.", parts[1].id)
    assert [part.state for part in parts] == ["canceled", "failed", "succeeded"]


def test_a_part_that_failed_with_what_may_pass_is_submitted_again_by_the_next_attempt(databases: str) -> None:
    away = [True]

    def piece(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        if request.seed == 1 and away[0]:
            raise StorageUnavailable("away")
        return numbered(context, request)

    job_id = submit()
    waiting = run(job_id, piece)
    assert (waiting.state, waiting.attempt, waiting.lease_token) == (State.RUNNING, 1, None)
    away[0] = False
    change(job_id, not_before=None)
    seen: list[Any] = []
    assert run(job_id, piece, seen=seen).state == State.SUCCEEDED
    assert [result.sources for result in seen] == [0, 1, 2]
    assert [(part.part, part.state) for part in parts_of(job_id)] == [
        (0, "succeeded"),
        (1, "failed"),
        (1, "succeeded"),
        (2, "succeeded"),
    ]


def test_a_part_that_failed_for_good_is_not_tried_by_the_next_attempt() -> None:
    """The parent's worker died before it could say so."""
    job_id = submit()
    lease = claimed(job_id)
    with transaction() as session:
        for number, part in enumerate(requests(2)):
            jobs.submit(session, PIECE, part.request, parent_id=job_id, part=number, total=10)
    failed = parts_of(job_id)[1].id
    part_lease = claimed(failed)
    with transaction() as session:
        jobs.fail(session, part_lease, BadMovie("torn"))
    change(job_id, lease_until=utcnow() - timedelta(seconds=1))
    done = run(job_id, pytest.fail, count=2)
    assert (done.state, done.attempt, lease.attempt) == (State.FAILED, 2, 1)
    assert done.error is not None
    assert done.error["part_id"] == failed


def claimed(job_id: str) -> jobs.Lease:
    lease = transact(lambda session: jobs.claim(session, job_id))
    assert lease is not None
    return lease


def test_errors_come_back_as_they_were_raised() -> None:
    problem = StorageUnavailable("away", reason="disk").problem()
    error = from_problem({**problem, "attempts": 3}, part_id="job_1")
    assert (type(error), error.detail) == (StorageUnavailable, "away")
    assert error.extra == {"reason": "disk", "part_id": "job_1"}
    unknown = from_problem({"type": "urn:reelsight:problem:of-tomorrow", "detail": "new"})
    assert (unknown.code, unknown.detail, unknown.retryable) == ("internal", "new", False)


# --- the parent goes away -----------------------------------------------------------------------------------


def test_the_next_attempt_goes_on_with_the_parts_of_the_first(databases: str) -> None:
    job_id, ran = submit(), []

    def piece(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        ran.append(request.seed)
        if len(ran) == 2:
            # As after SIGKILL: both leases run out, and what this attempt still does is fenced off.
            with transaction() as session:
                past = utcnow() - timedelta(seconds=1)
                session.execute(sa.update(Job).where(Job.lease_until.is_not(None)).values(lease_until=past))
                assert jobs.expire(session) == 2
            raise LeaseLost(job_id)
        return numbered(context, request)

    waiting = run(job_id, piece)
    assert (waiting.state, waiting.lease_token) == (State.RUNNING, None)
    before = [part.id for part in parts_of(job_id)]
    seen: list[Any] = []
    done = run(job_id, piece, seen=seen)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 2)
    assert [part.id for part in parts_of(job_id)] == before
    assert sorted(ran) == [0, 1, 1, 2]
    assert [result.sources for result in seen] == [0, 1, 2]


def test_a_drained_parent_goes_back_and_its_parts_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def piece(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        monkeypatch.setattr(runner, "draining_since", time.monotonic())
        return numbered(context, request)

    job_id = submit()
    parked = run(job_id, piece)
    assert (parked.state, parked.attempt, parked.lease_token) == (State.RUNNING, 0, None)
    assert [part.state for part in parts_of(job_id)] == ["queued", "queued", "succeeded"]
    monkeypatch.setattr(runner, "draining_since", None)
    assert run(job_id, numbered).state == State.SUCCEEDED


def test_a_canceled_parent_takes_its_parts_along(databases: str) -> None:
    job_id = submit()

    def piece(context: Context, _request: Any) -> Outcome:
        with transaction() as session:
            jobs.cancel(session, job_id)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            time.sleep(0.01)
            context.check()
        pytest.fail("was not stopped")

    assert run(job_id, piece).state == State.CANCELED
    assert {part.state for part in parts_of(job_id)} == {State.CANCELED}


def test_a_canceled_parent_without_a_worker_takes_its_parts_along(databases: str) -> None:
    """Its worker is gone: nobody but the state machine could tell the parts."""
    job_id = submit()
    with transaction() as session:
        for number in range(2):
            request = contracts.MakeVariantsRequest()
            jobs.submit(session, PIECE, request, parent_id=job_id, part=number)
        follower = jobs.submit(session, PIECE, contracts.MakeVariantsRequest(), parent_id=job_id).id
    first, second = (part for part in parts_of(job_id) if part.part is not None)
    lease = claimed(first.id)
    with transaction() as session:
        jobs.cancel(session, job_id)
    assert (job(first.id).state, job(second.id).state) == (State.CANCELING, State.CANCELED)
    assert job(follower).state == State.QUEUED, "a job that follows is no part"
    with transaction() as session:
        assert jobs.succeed(session, lease, Outcome(RESULT)) == State.CANCELED


def test_a_canceled_part_fails_the_parent() -> None:
    job_id = submit()

    def piece(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        with transaction() as session:
            jobs.cancel(session, parts_of(job_id)[0].id)
        return numbered(context, request)

    done = run(job_id, piece)
    assert done.state == State.FAILED
    assert done.error is not None
    assert done.error["detail"].startswith("A part of the job was canceled")


def test_the_parents_time_limit_holds_for_a_part_that_runs_in_it(kernel: Reel) -> None:
    kernel.configure(jobs__time_limit_seconds=60)
    left: list[float] = []

    def piece(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
        left.append(context.seconds_left)
        time.sleep(0.1)
        return numbered(context, request)

    run(submit(), piece, count=3)
    assert left[0] < 60
    assert left[1] <= left[0] - 0.1
    assert left[2] <= left[1] - 0.1, "each part has what the ones before have left of the parent's time"


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4])
def test_other_parts_than_in_the_attempt_before_are_refused(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    job_id = submit()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "draining_since", time.monotonic())
        run(job_id, numbered, count=3)
    later = run(job_id, numbered, count=count)
    assert later.error is not None
    assert "other parts" in later.error["detail"]


def test_a_part_is_not_replayed_alone() -> None:
    def torn(_context: Context, _request: Any) -> Outcome:
        raise BadMovie("torn")

    done = run(submit(), torn)
    failed = next(part for part in parts_of(done.id) if part.state == State.FAILED)
    with pytest.raises(Conflict, match=done.id), transaction() as session:
        jobs.replay(session, failed.id)
    with transaction() as session:
        assert jobs.replay(session, done.id).part is None


def test_two_jobs_never_do_the_same_part(databases: str) -> None:
    job_id = submit()
    request = contracts.MakeVariantsRequest()
    with transaction() as session:
        jobs.submit(session, PIECE, request, parent_id=job_id, part=0)
    with pytest.raises(sa.exc.IntegrityError), transaction() as session:
        jobs.submit(session, PIECE, request, parent_id=job_id, part=0)
