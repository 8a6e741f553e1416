"""Paused queues: they accept, nobody claims from them, and what waited is rung for when they are resumed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from reel_shared import contracts, jobs, queues
from reel_shared.db.engine import reading, transact, transaction
from reel_shared.db.models import Job, QueuePause, utcnow
from reel_shared.errors import NotFound, Unavailable
from reel_shared.jobs import State
from reel_shared.outbox import Reaper
from reel_shared.sent import notes
from reel_shared.testing.stack import Reel

QUEUE = "augment"
pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def broker(reel_database: Reel, databases: str, redis_url: str) -> Any:
    """The queue's Redis database, empty; a job that nobody claimed counts as lost at once."""
    reel_database.configure(redis__url=redis_url, jobs__resend_seconds=0)
    with redis.Redis.from_url(redis_url) as client:
        yield client


def submit(number: int = 1, **more: Any) -> list[str]:
    with transaction() as session:
        request = contracts.MakeVariantsRequest()
        made = [jobs.submit(session, contracts.MAKE_VARIANTS, request, **more).id for _ in range(number)]
    notes.write()
    return made


def pause(queue: str = QUEUE, **more: Any) -> QueuePause:
    return transact(lambda session: queues.pause(session, queue, by="key_1", **more))


def resume() -> int:
    return transact(lambda session: queues.resume(session, QUEUE, by="key_2"))


def claim(job_id: str) -> jobs.Lease | None:
    return transact(lambda session: jobs.claim(session, job_id, kind=contracts.MAKE_VARIANTS.name))


def standing() -> queues.Standing:
    with reading() as session:
        return next(row for row in queues.standing(session) if row.name == QUEUE)


def test_a_paused_queue_accepts_and_gives_nothing_away_until_it_is_resumed(broker: Any) -> None:
    before = submit(2)
    pause()
    waiting = before + submit(3)
    assert [claim(job_id) for job_id in waiting] == [None] * 5
    broker.flushall()  # as when workers have taken every message and were refused
    for _ in range(2):
        Reaper().step()
    assert broker.llen(QUEUE) == 0, "a message would only be refused again"
    assert (standing().queued, standing().running) == (5, 0)
    assert resume() == 5
    assert broker.llen(QUEUE) == 5
    assert None not in [claim(job_id) for job_id in waiting]


def test_another_queue_goes_on() -> None:
    pause("trainer")
    (job_id,) = submit()
    assert claim(job_id) is not None


def test_what_runs_ends_with_its_parts_and_an_attempt_that_failed_waits() -> None:
    whole, other = submit(2)
    lease, second = claim(whole), claim(other)
    assert lease is not None
    assert second is not None
    pause()
    (part,) = submit(1, parent_id=whole, part=0)
    result = contracts.MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={})
    for held in (claim(part), lease):
        assert held is not None
        transact(lambda session, held=held: jobs.succeed(session, held, jobs.Outcome(result)))
    transact(lambda session: jobs.fail(session, second, Unavailable("away")))
    with transaction() as session:
        session.execute(sa.update(Job).where(Job.id == other).values(not_before=None))
    assert claim(other) is None
    resume()
    again = claim(other)
    assert again is not None
    assert again.attempt == 2


def test_a_job_waits_as_long_as_its_queue_is_paused_and_has_its_time_again_after(reel_database: Reel) -> None:
    reel_database.configure(jobs__queue_ttl_seconds=100)
    (job_id,) = submit()
    pause()
    with transaction() as session:
        session.execute(sa.update(Job).values(created_at=utcnow() - timedelta(seconds=1000)))
    assert transact(jobs.expire) == 0
    resume()
    assert transact(jobs.expire) == 0
    with transaction() as session:
        session.execute(sa.update(QueuePause).values(resumed_at=utcnow() - timedelta(seconds=200)))
    assert transact(jobs.expire) == 1
    with reading() as session:
        assert jobs.get(session, job_id).state == State.FAILED


def test_more_than_are_sent_at_once_are_sent_by_the_reaper(
    broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause()
    submit(5)
    broker.flushall()
    monkeypatch.setattr(queues, "AT_ONCE", 2)
    assert resume() == 5
    assert broker.llen(QUEUE) == 2
    Reaper().step()
    assert broker.llen(QUEUE) == 5


def test_pausing_and_resuming_twice_change_nothing_and_both_are_kept(broker: Any) -> None:
    first = pause(reason="a new GPU")
    again = pause(reason="another reason")
    assert (again.id, again.reason) == (first.id, "a new GPU")
    submit()
    broker.flushall()
    assert (resume(), resume()) == (1, 0)
    assert broker.llen(QUEUE) == 1
    pause()
    with reading() as session:
        kept = session.scalars(sa.select(QueuePause).order_by(QueuePause.created_at)).all()
    assert [(row.by, row.resumed_by, row.resumed_at is None) for row in kept] == [
        ("key_1", "key_2", False),
        ("key_1", "", True),
    ]
    with pytest.raises(NotFound, match="augment"):
        pause("kitchen")
