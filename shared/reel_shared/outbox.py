"""Sends what was committed, and sends again what was lost: the outbox, and the reaper that watches leases.

``ring_submitted`` runs after each commit in the process that submitted; ``Reaper`` runs as a process of its own,
one leader at a time, so that Redis may be wiped and workers may die without losing an accepted job. Beside it, in a
thread of its own, webhooks are told.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, SessionTransaction

from reel_shared import job_statements as statements
from reel_shared import jobs, retention, webhooks
from reel_shared.bell import send, waiting_messages
from reel_shared.contracts import KINDS, QUEUES
from reel_shared.db import clock
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import IdempotencyRecord, Job, Lock, OutboxMessage, utcnow
from reel_shared.errors import DatabaseUnavailable, Unavailable
from reel_shared.ids import new_id
from reel_shared.jobs import Message
from reel_shared.sent import note, notes
from reel_shared.settings import settings
from reel_shared.telemetry import HELD, LEASES_LOST, OLDEST, WAITING

log = structlog.get_logger(__name__)
BATCH = 500
COMMITTED = "reel_committed"
PARTLY = "reel_partly"
"""Set in a session of which a savepoint was rolled back."""


def _note_commit(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info[COMMITTED] = session.info.pop(jobs.SUBMITTED, [])


def _note_rollback(session: Session, ended: SessionTransaction) -> None:
    if ended.nested:
        session.info[PARTLY] = True


def ring_submitted(session: Session, ended: SessionTransaction) -> None:
    """Send the jobs that the session has just committed. A broker that is away only delays them.

    Runs when the transaction has given its connection back: sending needs one too, and requests that each
    hold one while they wait for another would empty the pool and wait for ever.
    """
    if ended.parent is not None:
        return
    session.info.pop(jobs.SUBMITTED, None)
    messages = session.info.pop(COMMITTED, [])
    partly = session.info.pop(PARTLY, False)
    try:
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            _send(_that_are_there(batch) if partly else batch, notes.add)
    except Unavailable as error:
        log.warning("outbox.delayed", jobs=len(messages), reason=str(error))


def _that_are_there(messages: Sequence[Message]) -> list[Message]:
    """Leave out those of a savepoint that was rolled back."""
    job_ids = [message.job_id for message in messages]
    with reading() as session:
        known = set(session.scalars(sa.select(OutboxMessage.job_id).where(OutboxMessage.job_id.in_(job_ids))))
    return [message for message in messages if message.job_id in known]


sa.event.listen(Session, "after_commit", _note_commit)
sa.event.listen(Session, "after_soft_rollback", _note_rollback)
sa.event.listen(Session, "after_transaction_end", ring_submitted)


def _send(messages: Sequence[Message], noted: Callable[[Sequence[Message]], None]) -> None:
    """Send first and note after: a crash in between sends twice, which a claim makes harmless."""
    for kind, some in groupby(messages, key=attrgetter("kind")):
        same = list(some)
        if kind not in KINDS:
            # Submitted by a newer release; its own reaper, or this one after its upgrade, sends it.
            log.error("outbox.unknown_kind", kind=kind, jobs=[message.job_id for message in same])
            continue
        send(kind, [message.job_id for message in same])
        noted(same)


class Reaper:
    """One loop: expire leases, put lost jobs back into the outbox, send what is due."""

    def __init__(self) -> None:
        self.owner = new_id("wrk")
        self.stopping = threading.Event()
        self.lenient_until = 0.0
        # A start has more urgent things to do than to delete.
        self.sweep_at = time.monotonic() + retention.EVERY_SECONDS / 10

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                if self._lead():
                    self.step()
            except DatabaseUnavailable as error:
                # No heartbeat could be written either: the workers get one lease's time to come back first.
                self.lenient_until = time.monotonic() + settings().jobs.lease_seconds
                log.warning("reaper.waits", reason=str(error))
            except Unavailable as error:
                log.warning("reaper.waits", reason=str(error))
            except Exception:  # one bad row must not end what every other job depends on
                log.exception("reaper.step_failed")
            self.stopping.wait(settings().jobs.reaper_seconds)
        self._resign()

    def step(self) -> None:
        notes.write()  # what this process has just sent is not to be sent again
        self._bring_back()
        # A clock that was set is not time that has passed: whoever lives soon writes a lease by the new time.
        if time.monotonic() >= self.lenient_until and not clock.stepped_within(settings().jobs.lease_seconds):
            self._expire()
        self._find_lost()
        self._send_due()
        self._forget()
        self._sweep()

    def _lead(self) -> bool:
        """Take or extend the leader's lock; False while another reaper holds it."""
        span = timedelta(seconds=3 * settings().jobs.reaper_seconds + 5)
        try:
            with transaction() as session:
                clock.follow(session, at_once=True)
                now = utcnow()
                until = now + span
                free = sa.or_(Lock.owner == self.owner, Lock.until < now, Lock.until > now + 2 * span)
                taken = session.execute(
                    sa.update(Lock)
                    .where(Lock.name == "reaper", free)
                    .values(owner=self.owner, until=until)
                    .returning(Lock.name)
                ).one_or_none()
                if taken is None and session.get(Lock, "reaper") is None:
                    session.add(Lock(name="reaper", owner=self.owner, until=until))
                    return True
        except IntegrityError:  # two reapers met an empty table
            return False
        return taken is not None

    def _resign(self) -> None:
        """Let the next reaper lead at once."""
        with suppress(DatabaseUnavailable), transaction() as session:
            session.execute(sa.delete(Lock).where(Lock.name == "reaper", Lock.owner == self.owner))

    def _bring_back(self) -> None:
        """Bring what a clock that was set back has left too far ahead within the longest wait that there is."""
        now, limits = utcnow(), settings().jobs
        lease = timedelta(seconds=limits.lease_seconds)
        longest = timedelta(seconds=limits.retry_max_seconds + clock.STEP_SECONDS)
        with transaction() as session:
            statements.run(
                session, statements.SHORTEN, {"too_far": now + 2 * lease, "lease_until": now + lease}
            )
            for early in (statements.RETRY_NOW, statements.SEND_NOW):
                statements.run(session, early, {"too_far": now + longest, "not_before": now})

    def _expire(self) -> None:
        expired, found = 0, jobs.EXPIRE_BATCH
        while found == jobs.EXPIRE_BATCH and not self.stopping.is_set():
            with transaction() as session:
                found = jobs.expire(session)
            expired += found
        if expired:
            LEASES_LOST.inc(expired)
            log.warning("reaper.expired", jobs=expired)

    def _find_lost(self) -> None:
        """Find waiting jobs whose message is gone: the broker holds fewer messages than jobs wait.

        Not those of a paused queue: their messages would be refused again and again, and ``queues.resume`` rings.
        """
        now = utcnow()
        unrung = sa.and_(
            sa.or_(
                Job.state == jobs.State.QUEUED,
                sa.and_(Job.state == jobs.State.RUNNING, Job.lease_until.is_(None)),
            ),
            Job.id.not_in(sa.select(OutboxMessage.job_id)),
        )
        waiting = sa.and_(unrung, statements.MAY_START)
        patience = timedelta(seconds=settings().jobs.resend_seconds)
        late = sa.or_(Job.sent_at < now - patience, Job.sent_at > now + patience)  # the clock was set back
        for queue in QUEUES:
            with reading() as session:
                count, oldest, kept = session.execute(
                    sa.select(
                        sa.func.count().filter(statements.MAY_START),
                        sa.func.min(Job.created_at).filter(statements.MAY_START),
                        sa.func.count().filter(sa.not_(statements.MAY_START)),
                    )
                    .select_from(Job)
                    .where(unrung, Job.queue == queue)
                ).one()
            WAITING.labels(queue=queue).set(count)
            OLDEST.labels(queue=queue).set((now - oldest).total_seconds() if oldest else 0)
            HELD.labels(queue=queue).set(kept)
            if not count or waiting_messages(queue) >= count:
                continue
            with transaction() as session:
                lost = session.execute(
                    sa.select(Job.id, Job.kind)
                    .where(waiting, Job.queue == queue, sa.or_(late, Job.sent_at.is_(None)))
                    .order_by(Job.created_at)
                    .limit(BATCH)
                ).all()
                for job_id, kind in lost:
                    session.merge(OutboxMessage(job_id=job_id, kind=kind))
            if lost:
                log.warning("reaper.resends", queue=queue, jobs=len(lost))

    def _send_due(self) -> None:
        """Send every due row once: one that stays, because its kind is unknown here, is not met again."""
        after: tuple[Any, ...] = ()
        while True:
            with reading() as session:
                due = session.execute(
                    sa.select(OutboxMessage.job_id, OutboxMessage.created_at, OutboxMessage.kind)
                    .where(
                        sa.or_(OutboxMessage.not_before.is_(None), OutboxMessage.not_before <= utcnow()),
                        sa.tuple_(OutboxMessage.created_at, OutboxMessage.job_id) > after
                        if after
                        else sa.true(),
                    )
                    .order_by(OutboxMessage.created_at, OutboxMessage.job_id)
                    .limit(BATCH)
                ).all()
            if due:
                _send([Message(*row) for row in due], note)
            if len(due) < BATCH:
                return
            after = (due[-1].created_at, due[-1].job_id)

    def _forget(self) -> None:
        oldest = utcnow() - timedelta(hours=settings().web.idempotency_hours)
        with transaction() as session:
            session.execute(sa.delete(IdempotencyRecord).where(IdempotencyRecord.created_at < oldest))

    def _sweep(self) -> None:
        """Now and then, delete what is kept for a while only; at once again while there is more."""
        if time.monotonic() < self.sweep_at:
            return
        self.sweep_at = time.monotonic() + retention.EVERY_SECONDS
        with transaction() as session:
            more = webhooks.forget_old(session) == webhooks.BATCH
        if retention.sweep() == retention.BATCH or more:
            self.sweep_at = 0.0


def main() -> None:
    """Run the reaper until SIGTERM or SIGINT."""
    from reel_shared.deliveries import Sender
    from reel_shared.probes import serve_probes
    from reel_shared.telemetry import configure_logging

    configure_logging()
    serve_probes()
    reaper = Reaper()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reaper.stopping.set())
    sender = Sender()
    sender.start()
    log.info("reaper.ready")
    reaper.run()
    sender.stop()


if __name__ == "__main__":
    main()
