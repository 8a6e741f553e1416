"""Sending after the commit, sending again what was lost, and one reaper that leads."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from reel_shared import contracts, jobs, outbox
from reel_shared.celery_app import celery_app
from reel_shared.db.engine import reading, transact, transaction
from reel_shared.db.models import IdempotencyRecord, Job, Lock, OutboxMessage, utcnow
from reel_shared.errors import DatabaseUnavailable, Unavailable
from reel_shared.outbox import Reaper
from reel_shared.sent import notes
from reel_shared.telemetry import LEASES_LOST, OLDEST, WAITING
from reel_shared.testing.stack import Reel

KIND = contracts.MAKE_VARIANTS
QUEUE = "augment"
pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def broker(reel_database: Reel, databases: str, redis_url: str) -> Any:
    """The queue's Redis database, empty."""
    reel_database.configure(redis__url=redis_url, jobs__resend_seconds=1)
    with redis.Redis.from_url(redis_url) as client:
        yield client


def submit(number: int = 1) -> list[str]:
    """Submit jobs; what was sent of them has been noted."""
    job_ids = submit_unnoted(number)
    notes.write()
    return job_ids


def submit_unnoted(number: int = 1) -> list[str]:
    with transaction() as session:
        return [jobs.submit(session, KIND, contracts.MakeVariantsRequest()).id for _ in range(number)]


def body(message: bytes) -> bytes:
    return base64.b64decode(json.loads(message)["body"])


def due() -> set[str]:
    with reading() as session:
        return set(session.scalars(sa.select(OutboxMessage.job_id)))


def away(reel: Reel) -> None:
    reel.configure(redis__url="redis://127.0.0.1:1/0")


def back(reel: Reel, broker: Any) -> None:
    connection = broker.get_connection_kwargs()
    host = f":{connection['password']}@{connection['host']}:{connection['port']}"
    reel.configure(redis__url=f"redis://{host}/{connection['db']}")


def set_all(**values: Any) -> None:
    with transaction() as session:
        session.execute(sa.update(Job).values(**values))


# --- sending ----------------------------------------------------------------------------------------------


def test_a_committed_job_is_sent_at_once_and_leaves_the_outbox(broker: Any) -> None:
    (job_id,) = submit()
    assert broker.llen(QUEUE) == 1
    assert job_id.encode() in body(broker.lindex(QUEUE, 0))
    assert due() == set()
    with reading() as session:
        assert jobs.get(session, job_id).sent_at is not None


def test_a_message_is_what_celery_itself_would_have_sent(broker: Any) -> None:
    (job_id,) = submit()
    celery_app().send_task(KIND.name, args=(job_id,), queue=QUEUE, task_id=job_id)
    theirs, ours = (json.loads(message) for message in broker.lrange(QUEUE, 0, -1))
    assert json.loads(base64.b64decode(ours.pop("body"))) == json.loads(base64.b64decode(theirs.pop("body")))
    for message in (ours, theirs):
        del message["properties"]["delivery_tag"], message["properties"]["reply_to"]
    assert ours.pop("headers") == theirs.pop("headers")
    assert ours == theirs


def test_a_process_that_ends_notes_what_it_has_sent(reel_database: Reel) -> None:
    script = (
        "from reel_shared import contracts, jobs, outbox\n"
        "from reel_shared.db.engine import transact\n"
        "transact(lambda session: jobs.submit(session, contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest()).id)"
    )
    subprocess.run([sys.executable, "-c", script], env=reel_database.env, check=True, timeout=60)
    assert due() == set()


def test_what_a_worker_has_claimed_is_not_noted_again(broker: Any) -> None:
    (job_id,) = submit_unnoted()
    lease = transact(lambda session: jobs.claim(session, job_id))
    assert lease is not None
    with reading() as session:
        claimed = jobs.get(session, job_id)
    assert claimed.sent_at == claimed.started_at
    notes.write()
    with reading() as session:
        assert jobs.get(session, job_id).sent_at == claimed.sent_at


def test_a_message_holds_the_jobs_id_and_nothing_else(broker: Any) -> None:
    request = contracts.MakeVariantsRequest(dataset="secret-dataset")
    with transaction() as session:
        jobs.submit(session, KIND, request, owner="secret-owner", labels={"note": "secret-note"})
    message = broker.lindex(QUEUE, 0)
    assert b"secret" not in message
    assert b"secret" not in body(message)


def test_a_transaction_that_rolls_back_sends_nothing(broker: Any) -> None:
    with suppress(KeyError), transaction() as session:
        jobs.submit(session, KIND, contracts.MakeVariantsRequest())
        raise KeyError
    assert broker.llen(QUEUE) == 0


def test_a_savepoint_that_rolls_back_takes_only_its_own_job(broker: Any) -> None:
    with transaction() as session:
        kept = [jobs.submit(session, KIND, contracts.MakeVariantsRequest()).id]
        with suppress(KeyError), session.begin_nested():
            jobs.submit(session, KIND, contracts.MakeVariantsRequest())
            raise KeyError
        with session.begin_nested():
            kept.append(jobs.submit(session, KIND, contracts.MakeVariantsRequest()).id)
        assert broker.llen(QUEUE) == 0, "sent before the commit"
    assert broker.llen(QUEUE) == 2
    notes.write()
    assert due() == set()


def test_a_broker_that_is_away_costs_the_request_no_time_and_the_job_nothing(
    reel_database: Reel, broker: Any
) -> None:
    away(reel_database)
    started = time.monotonic()
    job_ids = submit(3) + submit(2)
    assert time.monotonic() - started < 2
    assert due() == set(job_ids)
    with pytest.raises(Unavailable):
        Reaper().step()
    assert due() == set(job_ids)
    back(reel_database, broker)
    Reaper().step()
    assert broker.llen(QUEUE) == 5
    assert due() == set()


def test_jobs_of_every_kind_land_in_their_own_queue_only(broker: Any) -> None:
    with transaction() as session:
        for kind in contracts.KINDS.values():
            session.add(
                job := Job(
                    id=f"job_{kind.name}",
                    kind=kind.name,
                    queue=kind.queue,
                    state="queued",
                    max_attempts=3,
                    request={},
                )
            )
            session.flush()
            session.add(OutboxMessage(job_id=job.id, kind=kind.name))
    Reaper().step()
    queues = [kind.queue for kind in contracts.KINDS.values()]
    assert {queue: broker.llen(queue) for queue in contracts.QUEUES} == {
        queue: queues.count(queue) for queue in contracts.QUEUES
    }


def test_a_retry_is_not_forgotten_when_the_worker_is_quicker_than_the_senders_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker claims and fails between the send and the deletion of the outbox row."""
    really_send = outbox.send

    def send_and_fail(kind: str, job_ids: list[str]) -> None:
        really_send(kind, job_ids)
        lease = transact(lambda session: jobs.claim(session, *job_ids))
        assert lease is not None
        transact(lambda session: jobs.fail(session, lease, Unavailable("away")))

    monkeypatch.setattr(outbox, "send", send_and_fail)
    (job_id,) = submit()
    assert due() == {job_id}, "the message of the second attempt is gone"


def test_a_retry_is_not_sent_before_its_time(broker: Any) -> None:
    (job_id,) = submit()
    lease = transact(lambda session: jobs.claim(session, job_id))
    assert lease is not None
    transact(lambda session: jobs.fail(session, lease, Unavailable("away")))
    broker.delete(QUEUE)
    Reaper().step()
    assert broker.llen(QUEUE) == 0
    with transaction() as session:
        session.execute(sa.update(OutboxMessage).values(not_before=utcnow()))
    Reaper().step()
    assert broker.llen(QUEUE) == 1


def test_many_requests_at_once_do_not_starve_each_other_of_connections(reel_database: Reel) -> None:
    """Each request needs a connection to commit and another to send: never both at the same time."""
    reel_database.configure(database__pool_size=1)
    number = 30
    barrier = threading.Barrier(number)

    def request() -> None:
        barrier.wait()
        submit()

    started = time.monotonic()
    threads = [threading.Thread(target=request) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 15
    assert due() == set()


# --- lost messages ----------------------------------------------------------------------------------------


def test_waiting_jobs_are_sent_again_only_when_messages_are_really_lost(broker: Any) -> None:
    submit(5)
    set_all(sent_at=utcnow() - timedelta(hours=1))  # a long queue: nobody came for an hour
    reaper = Reaper()
    for _ in range(3):
        reaper.step()
    assert broker.llen(QUEUE) == 5
    broker.rpop(QUEUE, 2)
    reaper.step()
    assert broker.llen(QUEUE) >= 5, "each of the five has a message again"
    again = broker.llen(QUEUE)
    for _ in range(3):
        reaper.step()
    assert broker.llen(QUEUE) == again


def test_a_flushed_broker_gets_every_waiting_job_again(broker: Any) -> None:
    submit(700)
    broker.flushdb()
    Reaper().step()
    assert broker.llen(QUEUE) == 0, "sent a moment ago: still time to be claimed"
    set_all(sent_at=utcnow() - timedelta(seconds=2))
    reaper = Reaper()
    for _ in range(2):
        reaper.step()
    assert broker.llen(QUEUE) == 700
    assert due() == set()


def test_running_and_ended_jobs_are_never_sent_again(broker: Any) -> None:
    running, ended, waiting = submit(3)
    for job_id in (running, ended):
        lease = transact(lambda session, job_id=job_id: jobs.claim(session, job_id))
    transact(lambda session: jobs.end_canceled(session, lease))
    broker.flushdb()
    set_all(sent_at=utcnow() - timedelta(hours=1))
    Reaper().step()
    assert broker.llen(QUEUE) == 1
    with reading() as session:
        assert utcnow() - jobs.get(session, waiting).sent_at < timedelta(minutes=1)


def test_one_step_expires_more_jobs_than_one_batch_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "EXPIRE_BATCH", 2)
    for job_id in submit(5):
        assert transact(lambda session, job_id=job_id: jobs.claim(session, job_id)) is not None
    set_all(lease_until=utcnow() - timedelta(seconds=1))
    before = LEASES_LOST._value.get()
    Reaper().step()
    with reading() as session:
        assert session.scalars(sa.select(Job.lease_until)).all() == [None] * 5
    assert LEASES_LOST._value.get() == before + 5


def test_the_reaper_tells_how_many_jobs_wait_and_for_how_long() -> None:
    def told() -> tuple[float, ...]:
        return tuple(gauge.labels(queue=QUEUE)._value.get() for gauge in (WAITING, OLDEST))

    job_ids = submit(2)
    for job_id, minutes in zip(job_ids, (3, 1), strict=True):
        with transaction() as session:
            jobs.get(session, job_id).created_at = utcnow() - timedelta(minutes=minutes)
    Reaper().step()
    count, seconds = told()
    assert (count, 180 <= seconds < 240) == (2, True)
    for job_id in job_ids:
        assert transact(lambda session, job_id=job_id: jobs.claim(session, job_id)) is not None
    Reaper().step()
    assert told() == (0, 0)


# --- what the reaper meets --------------------------------------------------------------------------------


def submit_unknown(number: int) -> set[str]:
    """Jobs of a kind that a newer release submits and this one does not know, older than every other."""
    with transaction() as session:
        for index in range(number):
            job_id = f"job_unknown{index:04}"
            values = {"kind": "shared.of_tomorrow", "queue": QUEUE, "state": "queued", "max_attempts": 3}
            session.add(Job(id=job_id, request={}, **values))
            session.flush()
            age = utcnow() - timedelta(minutes=1)
            session.add(OutboxMessage(job_id=job_id, kind=values["kind"], created_at=age))
    return {f"job_unknown{index:04}" for index in range(number)}


@pytest.mark.parametrize("number", [1, 4])
def test_a_job_of_an_unknown_kind_stays_and_holds_up_no_other(
    reel_database: Reel, broker: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    unknown = submit_unknown(number)
    away(reel_database)
    submit(3)
    back(reel_database, broker)
    Reaper().step()
    assert broker.llen(QUEUE) == 3
    assert due() == unknown


def test_a_step_that_fails_does_not_end_the_reaper(
    reel_database: Reel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reel_database.configure(jobs__reaper_seconds=0.05)
    calls: list[None] = []

    def step(_self: Reaper) -> None:
        calls.append(None)
        raise KeyError

    monkeypatch.setattr(Reaper, "step", step)
    run_for_a_while(Reaper(), lambda: len(calls) >= 2)


# --- one leader -------------------------------------------------------------------------------------------


def lead(reaper: Reaper) -> bool:
    return reaper._lead()


def test_of_two_reapers_one_leads_until_its_lock_runs_out() -> None:
    first, second = Reaper(), Reaper()
    assert [lead(first), lead(second), lead(first), lead(second)] == [True, False, True, False]
    with transaction() as session:
        session.execute(sa.update(Lock).values(until=utcnow() - timedelta(seconds=1)))
    assert [lead(second), lead(first)] == [True, False]


def test_a_reaper_that_stops_lets_the_next_one_lead_at_once() -> None:
    first, second = Reaper(), Reaper()
    first.stopping.set()
    assert lead(first)
    first.run()
    assert lead(second)


def test_reapers_that_meet_an_empty_table_settle_on_one_leader() -> None:
    for _ in range(10):
        with transaction() as session:
            session.execute(sa.delete(Lock))
        reapers, barrier, answers = [Reaper() for _ in range(4)], threading.Barrier(4), []

        def race(reaper: Reaper, barrier: threading.Barrier = barrier, answers: list[bool] = answers) -> None:
            barrier.wait()
            answers.append(lead(reaper))

        threads = [threading.Thread(target=race, args=(reaper,)) for reaper in reapers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [False, False, False, True]


def run_for_a_while(reaper: Reaper, until: Callable[[], Any]) -> None:
    thread = threading.Thread(target=reaper.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not until() and time.monotonic() < deadline:
        time.sleep(0.02)
    reaper.stopping.set()
    thread.join()
    assert until()


def test_after_the_database_was_away_workers_get_a_leases_time_to_come_back(
    reel_database: Reel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reel_database.configure(jobs__reaper_seconds=0.05, jobs__lease_seconds=1)
    (job_id,) = submit()
    lease = transact(lambda session: jobs.claim(session, job_id))
    assert lease is not None
    set_all(lease_until=utcnow() - timedelta(seconds=5))
    reaper, calls, really_lead = Reaper(), [], Reaper._lead

    def away_once(self: Reaper) -> bool:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise DatabaseUnavailable
        return really_lead(self)

    monkeypatch.setattr(Reaper, "_lead", away_once)

    def lapsed() -> bool:
        with reading() as session:
            return jobs.get(session, job_id).lease_token is None

    run_for_a_while(reaper, lapsed)
    assert time.monotonic() - calls[0] >= 1


def test_old_answers_to_idempotency_keys_are_forgotten() -> None:
    with transaction() as session:
        for key, hours in (("old", 25), ("young", 23)):
            age = utcnow() - timedelta(hours=hours)
            session.add(IdempotencyRecord(owner="o", key=key, request_sha256="0" * 64, created_at=age))
    Reaper().step()
    with reading() as session:
        assert session.scalars(sa.select(IdempotencyRecord.key)).all() == ["young"]


AT_ONCE = """
import threading
from reel_shared.celery_app import celery_app
together, found = threading.Barrier(8), []
def first():
    together.wait()
    found.append(celery_app())
threads = [threading.Thread(target=first) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 8, len(found)
assert len(set(map(id, found))) == 1
"""


def test_first_requests_that_come_at_once_share_one_celery() -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
