"""The one clock: the database server's, carried on, and what becomes of leases and retries when it is set."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from reel_shared import contracts, jobs
from reel_shared.db import clock
from reel_shared.db.engine import dispose, reading, transact, transaction
from reel_shared.db.models import Job, Lock, OutboxMessage, utcnow
from reel_shared.outbox import Reaper
from reel_shared.sent import notes
from reel_shared.testing.stack import Reel

pytestmark = pytest.mark.servers
HOUR = 3600.0
A_CLOCK_THAT_CAN_BE_SET = """
CREATE SCHEMA settable;
CREATE TABLE settable.clock (ahead float);
INSERT INTO settable.clock VALUES (0);
CREATE FUNCTION settable.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
$$ SELECT pg_catalog.clock_timestamp() + make_interval(secs => ahead) FROM settable.clock $$;
"""


@pytest.fixture
def set_server(reel_database: Reel, postgres_url: str, redis_url: str) -> Callable[[float], None]:
    """Return what sets the clock of this test's database server: by how many seconds it is ahead of this host's."""
    reel_database.configure(database__url=postgres_url, redis__url=redis_url)
    with transaction() as session:
        for statement in A_CLOCK_THAT_CAN_BE_SET.strip().removesuffix(";").split(";\n"):
            session.execute(sa.text(statement))
        name = postgres_url.rpartition("/")[2]
        session.execute(sa.text(f"ALTER DATABASE {name} SET search_path = settable, public, pg_catalog"))
    dispose()

    def set_to(ahead: float) -> None:
        with transaction() as session:
            session.execute(sa.text("UPDATE settable.clock SET ahead = :ahead"), {"ahead": ahead})

    return set_to


def submit() -> str:
    return transact(
        lambda session: jobs.submit(session, contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest()).id
    )


def claim(job_id: str) -> jobs.Lease:
    lease = transact(lambda session: jobs.claim(session, job_id))
    assert lease is not None
    return lease


def row(job_id: str) -> Job:
    with reading() as session:
        return jobs.get(session, job_id)


def seconds_from_here(job_id: str) -> float:
    """Return when the job's lease ends, by this host's clock."""
    until = row(job_id).lease_until
    assert until is not None
    return until.timestamp() - time.time()


def lead(reaper: Reaper) -> None:
    assert reaper._lead()
    reaper.step()


def test_leases_end_by_the_servers_clock_whatever_the_hosts_says(
    set_server: Callable[[float], None], reel_database: Reel
) -> None:
    set_server(HOUR)
    clock.forget()
    with capture_logs() as logs:
        job_id = submit()
    assert [(line["event"], line["seconds"]) for line in logs if "clock" in line["event"]] == [
        ("clock.host_differs", -HOUR)
    ]
    claim(job_id)
    lease = reel_database.settings.jobs.lease_seconds
    assert seconds_from_here(job_id) == pytest.approx(HOUR + lease, abs=5)
    assert row(job_id).created_at.timestamp() - time.time() == pytest.approx(HOUR, abs=5)
    clock.forget()
    assert utcnow().timestamp() == pytest.approx(time.time(), abs=1), "without a database, the host's"


def test_a_server_that_is_asked_seldom_is_carried_on_without_the_hosts_clock(
    set_server: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading():
        before = utcnow()
    monkeypatch.setattr(clock.time, "time", lambda: 0.0)
    with reading():
        assert utcnow() - before < timedelta(seconds=5), "the host's clock was set to 1970"
    set_server(HOUR)
    with reading():
        assert utcnow() - before < timedelta(seconds=5), "not read again so soon"
    with reading() as session:
        clock.follow(session, at_once=True)
        assert utcnow() - before == pytest.approx(timedelta(seconds=HOUR), abs=timedelta(seconds=5))


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_server_whose_clock_is_set_takes_no_job_from_a_worker_that_lives(
    set_server: Callable[[float], None], reel_database: Reel, step: float
) -> None:
    job_id = submit()
    lease, reaper = claim(job_id), Reaper()
    lead(reaper)
    set_server(step)
    with capture_logs() as logs:
        lead(reaper)
    assert [line["seconds"] for line in logs if line["event"] == "clock.stepped"] == [
        pytest.approx(step, abs=5)
    ]
    assert row(job_id).lease_token == lease.token
    transact(lambda session: jobs.heartbeat(session, lease))
    lead(reaper)
    assert row(job_id).lease_token == lease.token
    assert seconds_from_here(job_id) == pytest.approx(step + reel_database.settings.jobs.lease_seconds, abs=5)


def test_a_dead_workers_lease_ends_in_time_though_the_clock_was_set_back(
    set_server: Callable[[float], None], reel_database: Reel, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit()
    claim(job_id)
    reaper = Reaper()
    lead(reaper)
    set_server(-HOUR)
    lead(reaper)
    lease = reel_database.settings.jobs.lease_seconds
    assert seconds_from_here(job_id) == pytest.approx(lease - HOUR, abs=5), "not an hour longer"
    set_server(-HOUR + 3 * lease)  # so much time passes, for the server and for this host
    later = clock._running() + 3 * lease
    monkeypatch.setattr(clock, "_running", lambda: later)
    lead(reaper)
    assert row(job_id).lease_token is None, "the step is over, and leases count again"


def test_what_a_clock_that_was_set_back_left_too_far_ahead_is_brought_back(
    reel_database: Reel, databases: str, redis_url: str
) -> None:
    reel_database.configure(redis__url=redis_url)
    leased, waiting, soon = submit(), submit(), submit()
    notes.write()
    claim(leased)
    limits = reel_database.settings.jobs
    far, near = utcnow() + timedelta(days=1), utcnow() + timedelta(seconds=limits.retry_max_seconds)
    with transaction() as session:
        session.execute(sa.update(Job).where(Job.id == leased).values(lease_until=far))
        for job_id, moment in ((waiting, far), (soon, near)):
            session.execute(
                sa.update(Job).where(Job.id == job_id).values(state="running", attempt=1, not_before=moment)
            )
            session.merge(OutboxMessage(job_id=job_id, kind=row(job_id).kind, not_before=moment))
        session.add(Lock(name="reaper", owner="another that is gone", until=far))
    lead(Reaper())
    assert seconds_from_here(leased) == pytest.approx(limits.lease_seconds, abs=5)
    assert row(waiting).not_before <= utcnow()
    assert row(soon).not_before == near
    with reading() as session:
        assert list(session.scalars(sa.select(OutboxMessage.job_id))) == [soon], "the other was sent"
