"""The job state machine on both databases: what each state allows, fencing, races, retries, follow-ups."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from starlette.requests import Request

from reel_shared import contracts, jobs, webhooks
from reel_shared.db.engine import reading, transact, transaction
from reel_shared.db.models import (
    Collection,
    Job,
    JobEvent,
    OutboxMessage,
    WebhookDelivery,
    WebhookEndpoint,
    utcnow,
)
from reel_shared.embedded.postgres import Postgres
from reel_shared.errors import BadRequest, Conflict, JobTimeout, LeaseLost, NotFound, Unavailable
from reel_shared.ids import new_id
from reel_shared.jobs import Lease, Outcome, State
from reel_shared.runner import Context, run_job
from reel_shared.security import Principal, create_key
from reel_shared.testing.stack import Reel
from reel_shared.web.accepted import submit_job

RESULT = contracts.MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={})


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database of each kind for the whole module: every test here makes its own jobs."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("jobs") / "reelsight.db"
        shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), path)
        yield f"sqlite:///{path}"
    else:
        server: Postgres = request.getfixturevalue("_postgres")
        yield server.create_database("test_jobs", template="reel_template")
        server.drop_database("test_jobs")


@pytest.fixture(autouse=True)
def kernel(reel_database: Reel, databases: str) -> Reel:
    reel_database.configure(jobs__lease_seconds=600)  # only ``lapse`` ends a lease here
    return reel_database


def submit(**labels: Any) -> str:
    with transaction() as session:
        kind = contracts.MAKE_VARIANTS
        return jobs.submit(session, kind, contracts.MakeVariantsRequest(), owner="key_1", labels=labels).id


def claim(job_id: str) -> Lease:
    lease = transact(lambda session: jobs.claim(session, job_id))
    assert lease is not None
    return lease


def act(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with transaction() as session:
        return function(session, *args, **kwargs)


def job(job_id: str) -> Job:
    with reading() as session:
        return jobs.get(session, job_id)


def events(job_id: str) -> list[JobEvent]:
    with reading() as session:
        return list(
            session.scalars(sa.select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id))
        )


def due(job_id: str) -> OutboxMessage | None:
    with reading() as session:
        return session.get(OutboxMessage, job_id)


def set_row(job_id: str, **values: Any) -> None:
    """Move a job's clock: tests do not wait for leases."""
    with transaction() as session:
        session.execute(sa.update(Job).where(Job.id == job_id).values(**values))


def lapse(job_id: str) -> None:
    set_row(job_id, lease_until=utcnow() - timedelta(seconds=1))


def row(job_id: str) -> dict[str, Any]:
    with reading() as session:
        return dict(session.execute(sa.select(Job.__table__).where(Job.id == job_id)).mappings().one())


def write_row(job_id: str) -> Callable[[Any], None]:
    def write(session: Any) -> None:
        values = {"dataset": "default", "label": "a", "provider": "urls", "job_id": job_id}
        session.add(Collection(id=new_id("col"), **values))

    return write


def rows_of(job_id: str) -> int:
    with reading() as session:
        counted = sa.select(sa.func.count()).select_from(Collection).where(Collection.job_id == job_id)
        return session.scalar(counted) or 0


# --- each state, and how a job gets there -----------------------------------------------------------------


def make(state: str) -> tuple[str, Lease | None]:
    """Return a job in one of the states, by legal steps, and its newest lease."""
    job_id = submit()
    if state == "queued":
        return job_id, None
    if state == "canceled":
        act(jobs.cancel, job_id)
        return job_id, None
    lease = claim(job_id)
    if state == "waiting":
        act(jobs.fail, lease, Unavailable("away"))
        set_row(job_id, not_before=None)
    elif state == "canceling":
        act(jobs.cancel, job_id)
    elif state == "succeeded":
        act(jobs.succeed, lease, Outcome(RESULT))
    elif state == "failed":
        act(jobs.fail, lease, BadRequest("no"))
    return job_id, lease


STATES = ("queued", "running", "waiting", "canceling", "succeeded", "failed", "canceled")
ENDED = ("succeeded", "failed", "canceled")


@pytest.mark.parametrize("state", STATES)
def test_only_a_job_that_waits_can_be_claimed(state: str) -> None:
    job_id, _ = make(state)
    before = row(job_id)
    lease = act(jobs.claim, job_id)
    if state in ("queued", "waiting"):
        assert lease is not None
        assert lease.attempt == before["attempt"] + 1
        assert job(job_id).state == State.RUNNING
        assert due(job_id) is None
    else:
        assert lease is None
        assert row(job_id) == before


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("queued", State.CANCELED),
        ("waiting", State.CANCELED),
        ("running", State.CANCELING),
        ("canceling", State.CANCELING),
        ("canceled", State.CANCELED),
    ],
)
def test_cancel_ends_a_waiting_job_at_once_and_asks_a_running_one(state: str, after: State) -> None:
    job_id, _ = make(state)
    for _ in range(2):
        assert act(jobs.cancel, job_id).state == after
    wishes = [event for event in events(job_id) if event.data["state"] == after]
    assert len(wishes) == 1
    assert due(job_id) is None


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_cancel_after_the_end_is_a_conflict_and_changes_nothing(state: str) -> None:
    job_id, _ = make(state)
    before, told = row(job_id), len(events(job_id))
    with pytest.raises(Conflict, match=state):
        act(jobs.cancel, job_id)
    assert row(job_id) == before
    assert len(events(job_id)) == told


@pytest.mark.parametrize("state", STATES)
def test_replay_is_for_jobs_that_ended_without_a_result(state: str) -> None:
    job_id, _ = make(state)
    before = row(job_id)
    if state in ("failed", "canceled"):
        again = act(jobs.replay, job_id)
        assert again.id != job_id
        assert again.state == State.QUEUED
        assert again.request == before["request"]
        assert again.owner == "key_1"
        assert again.labels["replay_of"] == job_id
        assert due(again.id) is not None
    else:
        with pytest.raises(Conflict, match="only a failed or canceled"):
            act(jobs.replay, job_id)
    assert row(job_id) == before


@pytest.mark.parametrize("state", STATES)
def test_expire_leaves_healthy_and_ended_jobs_alone(state: str) -> None:
    job_id, _ = make(state)
    before = row(job_id)
    assert act(jobs.expire) == 0
    assert row(job_id) == before


def test_a_lapsed_lease_lets_the_job_wait_again_with_a_message() -> None:
    job_id, _ = make("running")
    lapse(job_id)
    assert act(jobs.expire) == 1
    after = job(job_id)
    assert (after.state, after.lease_token, after.lease_until) == (State.RUNNING, None, None)
    assert due(job_id) is not None
    assert events(job_id)[-1].data["lease_expired"]
    assert claim(job_id).attempt == 2


def test_a_worker_that_died_before_it_saw_the_cancel_wish_still_ends_the_job_as_canceled() -> None:
    job_id, _ = make("canceling")
    lapse(job_id)
    act(jobs.expire)
    assert job(job_id).state == State.CANCELED


def test_a_job_whose_worker_dies_each_time_fails_with_the_story_after_its_attempts() -> None:
    job_id = submit()
    for attempt in (1, 2, 3):
        assert claim(job_id).attempt == attempt
        lapse(job_id)
        if attempt == 3:
            assert act(jobs.claim, job_id) is None, "a copy of the message starts no fourth attempt"
        act(jobs.expire)
    after = job(job_id)
    assert after.state == State.FAILED
    assert after.error is not None
    assert after.error["type"].endswith("attempts-exhausted")
    assert after.error["attempts"] == 3
    assert after.worker in after.error["detail"]
    assert act(jobs.claim, job_id) is None


def test_a_job_nobody_takes_fails_when_its_time_in_the_queue_is_over(kernel: Reel) -> None:
    job_id = submit()
    ttl = timedelta(seconds=kernel.settings.jobs.queue_ttl_seconds)
    act(jobs.expire, now=utcnow() + ttl - timedelta(seconds=5))
    assert job(job_id).state == State.QUEUED
    act(jobs.expire, now=utcnow() + ttl + timedelta(seconds=5))
    after = job(job_id)
    assert after.state == State.FAILED
    assert after.error is not None
    assert after.error["type"].endswith("timeout")
    assert due(job_id) is None


@pytest.mark.parametrize("way", ["release", "retry", "expire"])
def test_a_job_nobody_takes_up_again_fails_when_its_time_to_wait_is_over(kernel: Reel, way: str) -> None:
    job_id, lease = make("running")
    ttl = timedelta(seconds=kernel.settings.jobs.queue_ttl_seconds)
    set_row(job_id, sent_at=utcnow() - 2 * ttl)  # a long attempt: only the waiting after it counts
    if way == "expire":
        lapse(job_id)
        act(jobs.expire)
    else:
        act(WRITES[way], lease)
    act(jobs.expire, now=utcnow() + ttl - timedelta(seconds=5))
    assert job(job_id).state == State.RUNNING
    act(jobs.expire, now=utcnow() + ttl + timedelta(seconds=5))
    after = job(job_id)
    assert after.state == State.FAILED
    assert after.error is not None
    assert after.error["type"].endswith("timeout")
    assert after.error["attempts"] == after.attempt
    assert due(job_id) is None


def test_expire_takes_a_batch_at_a_time_and_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "EXPIRE_BATCH", 3)
    for lease in running(7):
        lapse(lease.job_id)
    assert [act(jobs.expire) for _ in range(4)] == [3, 3, 1, 0]


def test_unknown_jobs_are_not_found() -> None:
    for function in (jobs.get, jobs.cancel, jobs.replay):
        with pytest.raises(NotFound, match="job_0"):
            act(function, "job_0")
    assert act(jobs.claim, "job_0") is None


def test_a_message_of_another_kind_claims_nothing() -> None:
    job_id = submit()
    assert act(jobs.claim, job_id, kind=contracts.TRAIN_MODEL.name) is None
    assert job(job_id).state == State.QUEUED


# --- fencing ----------------------------------------------------------------------------------------------

WRITES: dict[str, Callable[[Any, Lease], Any]] = {
    "heartbeat": jobs.heartbeat,
    "progress": lambda session, lease: jobs.progress(session, lease, 9, 9, message="late"),
    "metric": lambda session, lease: jobs.metric(session, lease, {"epoch": 9}),
    "succeed": lambda session, lease: jobs.succeed(session, lease, Outcome(RESULT, write_row(lease.job_id))),
    "fail": lambda session, lease: jobs.fail(session, lease, BadRequest("late")),
    "retry": lambda session, lease: jobs.fail(session, lease, Unavailable("late")),
    "release": jobs.release,
    "end_canceled": jobs.end_canceled,
}


@pytest.mark.parametrize("write", WRITES)
def test_a_late_worker_can_write_nothing_once_another_has_the_job(write: str) -> None:
    job_id, old = make("running")
    lapse(job_id)
    claim(job_id)
    before, told = row(job_id), len(events(job_id))
    with pytest.raises(LeaseLost):
        act(WRITES[write], old)
    assert row(job_id) == before
    assert len(events(job_id)) == told
    assert rows_of(job_id) == 0


@pytest.mark.parametrize("state", ["waiting", *ENDED])
@pytest.mark.parametrize("write", WRITES)
def test_no_write_is_accepted_without_a_living_lease(write: str, state: str) -> None:
    job_id, lease = make(state)
    lease = lease or Lease(job_id, "lease_none", contracts.MAKE_VARIANTS.name, 1, 3, {})
    before, told = row(job_id), len(events(job_id))
    with pytest.raises(LeaseLost):
        act(WRITES[write], lease)
    assert row(job_id) == before
    assert len(events(job_id)) == told
    assert rows_of(job_id) == 0


def test_a_late_heartbeat_keeps_the_lease_when_nobody_else_took_the_job() -> None:
    job_id, lease = make("running")
    lapse(job_id)
    assert act(jobs.heartbeat, lease) == State.RUNNING
    assert act(jobs.expire) == 0


def test_every_visible_change_gives_the_job_a_new_version() -> None:
    job_id = submit()
    versions = [job(job_id).version]
    lease = claim(job_id)
    versions.append(job(job_id).version)
    act(jobs.progress, lease, 1, 2)
    versions.append(job(job_id).version)
    act(jobs.metric, lease, {"epoch": 1})
    versions.append(job(job_id).version)
    act(jobs.cancel, job_id)
    versions.append(job(job_id).version)
    act(jobs.end_canceled, lease)
    versions.append(job(job_id).version)
    assert versions == sorted(set(versions))


# --- races ------------------------------------------------------------------------------------------------


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Run the functions at the same moment; an exception is returned in its function's place."""
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return function()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


def running(count: int) -> list[Lease]:
    with transaction() as session:
        for _ in range(count):
            jobs.submit(session, contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest())
        leases = [jobs.claim(session, message.job_id) for message in session.info[jobs.SUBMITTED]]
    return [lease for lease in leases if lease is not None]


def test_of_many_workers_that_race_for_a_job_one_gets_it() -> None:
    for _ in range(10):
        job_id = submit()
        leases = together(*[lambda job_id=job_id: act(jobs.claim, job_id)] * 6)
        assert [type(lease) for lease in leases if lease is not None] == [Lease]
        assert job(job_id).attempt == 1


@pytest.mark.parametrize("way", ["release", "retry", "expire"])
def test_cancel_that_meets_a_lease_being_given_back_ends_the_job(way: str) -> None:
    job_id, lease = make("running")
    if way == "expire":
        lapse(job_id)
    with ThreadPoolExecutor(1) as pool:
        with transaction() as session:
            jobs.expire(session) if way == "expire" else WRITES[way](session, lease)
            asked = pool.submit(act, jobs.cancel, job_id)
            with pytest.raises(TimeoutError):
                asked.result(0.5)  # it waits for what is not committed yet
        assert asked.result(30).state == State.CANCELED
    assert [event.terminal for event in events(job_id)].count(True) == 1
    assert due(job_id) is None


def test_a_cancel_wish_that_no_worker_can_see_is_carried_out_by_the_reaper() -> None:
    job_id, _ = make("canceling")
    set_row(job_id, lease_token=None, lease_until=None)
    assert act(jobs.expire) == 1
    assert job(job_id).state == State.CANCELED
    assert events(job_id)[-1].terminal


def test_cancel_against_success_ends_each_job_once() -> None:
    """200 races; whichever comes first wins, and the rows of a canceled job are not written."""
    for lease in running(200):
        job_id, outcome = lease.job_id, Outcome(RESULT, write_row(lease.job_id))
        done, asked = together(
            lambda lease=lease, outcome=outcome: act(jobs.succeed, lease, outcome),
            lambda job_id=job_id: act(jobs.cancel, job_id).state,
        )
        after = job(job_id)
        assert after.state in (State.SUCCEEDED, State.CANCELED)
        assert done == after.state
        told = events(job_id)
        assert [event.data["state"] for event in told if event.terminal] == [after.state]
        assert told[-1].terminal
        if after.state == State.SUCCEEDED:
            assert isinstance(asked, Conflict)
        else:
            assert asked == State.CANCELING
        assert rows_of(job_id) == (after.state == State.SUCCEEDED)


def test_reaper_against_success_ends_each_job_once() -> None:
    for lease in running(40):
        job_id, outcome = lease.job_id, Outcome(RESULT, write_row(lease.job_id))
        lapse(job_id)
        together(
            lambda lease=lease, outcome=outcome: act(jobs.succeed, lease, outcome), lambda: act(jobs.expire)
        )
        after = job(job_id)
        assert rows_of(job_id) == (after.state == State.SUCCEEDED)
        assert [event.terminal for event in events(job_id)].count(True) == (after.state == State.SUCCEEDED)


# --- retries ----------------------------------------------------------------------------------------------


def test_backoff_doubles_within_its_jitter_up_to_the_ceiling(kernel: Reel) -> None:
    kernel.configure(jobs__retry_base_seconds=2, jobs__retry_max_seconds=60)
    for attempt, ceiling in enumerate((2, 4, 8, 16, 32, 60, 60), start=1):
        waits = [jobs.backoff(attempt) for _ in range(300)]
        assert min(waits) >= ceiling / 2
        assert max(waits) <= ceiling
        assert max(waits) - min(waits) > ceiling / 4


def test_a_retryable_error_waits_its_backoff_and_then_runs_again() -> None:
    job_id, lease = make("running")
    assert act(jobs.fail, lease, Unavailable("away")) == State.RUNNING
    message = due(job_id)
    assert message is not None
    assert message.not_before is not None
    assert timedelta(seconds=0.5) < message.not_before - utcnow() <= timedelta(seconds=2)
    assert act(jobs.claim, job_id) is None, "claimed before its time"
    set_row(job_id, not_before=utcnow())
    assert claim(job_id).attempt == 2


def test_retries_end_with_the_last_attempts_error() -> None:
    job_id = submit()
    for attempt in (1, 2, 3):
        state = act(jobs.fail, claim(job_id), Unavailable(f"away {attempt}"))
        set_row(job_id, not_before=None)
    assert state == State.FAILED
    error = job(job_id).error
    assert error is not None
    assert error["detail"] == "away 3"
    assert error["attempts"] == 3
    assert due(job_id) is None


@pytest.mark.parametrize("error", [BadRequest("no"), JobTimeout("slow")])
def test_an_error_that_would_come_again_ends_the_job_at_once(error: Exception) -> None:
    job_id, lease = make("running")
    assert act(jobs.fail, lease, error) == State.FAILED
    after = job(job_id)
    assert after.error is not None
    assert (after.error["detail"], after.error["attempts"]) == (str(error), 1)


def test_a_released_attempt_does_not_count() -> None:
    job_id, lease = make("running")
    act(jobs.release, lease)
    assert (job(job_id).state, job(job_id).attempt) == (State.RUNNING, 0)
    assert due(job_id) is not None
    assert claim(job_id).attempt == 1


@pytest.mark.parametrize("end", ["succeed", "fail", "retry", "release", "end_canceled"])
def test_whatever_a_worker_says_after_the_wish_the_job_ends_as_canceled(end: str) -> None:
    job_id, lease = make("canceling")
    assert lease is not None
    assert act(jobs.heartbeat, lease) == State.CANCELING
    act(WRITES[end], lease)
    assert job(job_id).state == State.CANCELED
    assert [event.terminal for event in events(job_id)].count(True) == 1
    assert rows_of(job_id) == 0
    assert due(job_id) is None


# --- transactions -----------------------------------------------------------------------------------------


def test_a_transaction_that_rolls_back_leaves_no_job_event_or_message() -> None:
    born: list[str] = []

    def explode(session: Any) -> None:
        born.append(jobs.submit(session, contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest()).id)
        raise KeyError

    with pytest.raises(KeyError):
        act(explode)
    with pytest.raises(NotFound):
        act(jobs.get, born[0])
    assert events(born[0]) == []
    assert due(born[0]) is None


def collected(*, kept: int = 2, augment: bool = True) -> tuple[Lease, Outcome]:
    """Return a running collect_pictures job's lease and an outcome for it."""
    request = contracts.CollectPicturesRequest(
        label="mulan", provider="urls", urls=["http://x/"], augment=augment
    )
    with transaction() as session:
        job_id = jobs.submit(
            session, contracts.COLLECT_PICTURES, request, owner="key_1", labels={"run": "7"}
        ).id
    counts = contracts.Counts(seen=kept, kept=kept)
    result = contracts.CollectPicturesResult(collection_id="col_1", provider="urls", counts=counts)
    return claim(job_id), Outcome(result, write_row(job_id))


def children(job_id: str) -> list[Job]:
    with reading() as session:
        return list(session.scalars(sa.select(Job).where(Job.parent_id == job_id)))


def test_the_next_job_is_born_with_the_success_of_the_first() -> None:
    lease, outcome = collected()
    act(jobs.succeed, lease, outcome)
    (child,) = children(lease.job_id)
    assert child.kind == contracts.MAKE_VARIANTS.name
    assert child.request["collection_id"] == "col_1"
    assert child.request["label"] == "mulan"
    assert (child.owner, child.labels) == ("key_1", {"run": "7"})
    assert due(child.id) is not None


@pytest.mark.parametrize("answer", [{"kept": 0}, {"augment": False}])
def test_no_next_job_where_there_is_nothing_to_do(answer: dict[str, Any]) -> None:
    lease, outcome = collected(**answer)
    act(jobs.succeed, lease, outcome)
    assert job(lease.job_id).state == State.SUCCEEDED
    assert children(lease.job_id) == []


def test_success_rows_and_next_job_come_all_or_not_at_all() -> None:
    lease, outcome = collected()

    def half(session: Any) -> None:
        jobs.succeed(session, lease, outcome)
        raise ConnectionError("the database went away before the commit")

    with pytest.raises(ConnectionError):
        act(half)
    assert job(lease.job_id).state == State.RUNNING
    assert children(lease.job_id) == []
    assert rows_of(lease.job_id) == 0
    act(jobs.succeed, lease, outcome)
    assert len(children(lease.job_id)) == rows_of(lease.job_id) == 1


def test_what_the_writing_of_the_rows_finds_out_stands_in_the_result() -> None:
    lease, outcome = collected(kept=2)
    result = outcome.result
    assert isinstance(result, contracts.CollectPicturesResult)

    def one_was_there_already(_session: Any) -> None:
        result.counts.kept, result.counts.exact_duplicates = 1, 1

    act(jobs.succeed, lease, Outcome(result, one_was_there_already))
    kept = job(lease.job_id).result
    assert kept is not None
    assert (kept["counts"]["kept"], kept["counts"]["exact_duplicates"]) == (1, 1)


def test_the_database_itself_refuses_a_second_end() -> None:
    job_id, _ = make("succeeded")
    with pytest.raises(sa.exc.IntegrityError), transaction() as session:
        session.add(JobEvent(job_id=job_id, type="state", data={"state": "failed"}, terminal=True))


# --- the end in one statement -----------------------------------------------------------------------------


def end_at_once(lease: Lease, outcome: Outcome) -> bool:
    return transact(lambda session: jobs.succeed_unheard(session, lease, outcome), alone=True)


@contextmanager
def a_webhook() -> Iterator[str]:
    """Register an endpoint that wants to be told of every job; nothing is sent to it here."""
    with transaction() as session:
        key, _ = create_key(session, "listener", ["read"])
        values = {"url": "https://localhost/hook", "events": list(webhooks.EVENTS), "kinds": []}
        endpoint = WebhookEndpoint(id=new_id("whe"), owner=key.id, all_jobs=True, secret="whsec_", **values)
        session.add(endpoint)
    yield endpoint.id
    with transaction() as session:
        session.get_one(WebhookEndpoint, endpoint.id).disabled_at = utcnow()


def test_an_end_that_is_all_there_is_to_write_is_whole_and_comes_once() -> None:
    lease = claim(submit())
    assert end_at_once(lease, Outcome(RESULT))
    ended = job(lease.job_id)
    assert (ended.state, ended.lease_token, ended.lease_until) == (State.SUCCEEDED, None, None)
    assert ended.result == RESULT.model_dump(mode="json")
    last = events(lease.job_id)[-1]
    assert (last.data, last.terminal, last.at) == ({"state": "succeeded"}, True, ended.finished_at)
    before = row(lease.job_id)
    assert not end_at_once(lease, Outcome(RESULT))
    assert row(lease.job_id) == before
    assert len(events(lease.job_id)) == 3


@pytest.mark.parametrize("reason", ["rows", "follows", "webhook", "part", "wish", "lost"])
def test_an_end_that_is_not_all_there_is_writes_nothing_at_once(reason: str) -> None:
    lease, outcome = collected() if reason in ("rows", "follows") else (claim(submit()), Outcome(RESULT))
    if reason == "follows":
        outcome = Outcome(outcome.result)
    with a_webhook() if reason == "webhook" else nullcontext():
        if reason == "part":
            with transaction() as session:
                request = contracts.MakeVariantsRequest()
                jobs.submit(session, contracts.MAKE_VARIANTS, request, parent_id=lease.job_id, part=0)
        elif reason == "wish":
            act(jobs.cancel, lease.job_id)
        elif reason == "lost":
            lapse(lease.job_id)
            claim(lease.job_id)
        before, told = row(lease.job_id), len(events(lease.job_id))
        assert not end_at_once(lease, outcome)
    assert (row(lease.job_id), len(events(lease.job_id))) == (before, told)
    assert rows_of(lease.job_id) == 0


def test_who_begins_to_listen_while_a_job_runs_is_told_of_its_end() -> None:
    job_id = submit()
    with ExitStack() as stack:
        listeners: list[str] = []

        def work(_context: Context, _request: contracts.MakeVariantsRequest) -> Outcome:
            listeners.append(stack.enter_context(a_webhook()))
            return Outcome(RESULT)

        assert run_job(contracts.MAKE_VARIANTS, work, job_id) == State.SUCCEEDED
    with reading() as session:
        told = session.scalars(sa.select(WebhookDelivery).where(WebhookDelivery.job_id == job_id)).all()
    assert [(one.endpoint_id, one.event) for one in told] == [(listeners[0], "job.succeeded")]
    assert [event.terminal for event in events(job_id)] == [False, False, True]


def test_what_is_to_be_there_with_a_job_comes_with_it_or_not_at_all() -> None:
    request = Request({"type": "http", "method": "POST", "path": "/v1/variants", "headers": []})
    mark = submit()

    def refuse(session: Session) -> None:
        write_row(mark)(session)
        session.flush()
        raise Conflict("no")

    def post(also: Callable[[Session], None]) -> None:
        principal = Principal("key_1", frozenset({"submit"}))
        submit_job(contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest(), principal, request, also=also)

    with pytest.raises(Conflict):
        post(refuse)
    assert rows_of(mark) == 0
    post(write_row(mark))
    assert rows_of(mark) == 1
