"""Notes in the database which messages this process has sent: many at a time and a little later. Called by ``outbox``.

A note of each job's own was one of the four transactions that an empty job cost, and came in the way of the worker that
claimed the job just then. Nobody waits for it: a claim forgets the message too, and when this process dies before it is
written the reaper sends once more, which the claim refuses.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Sequence

import sqlalchemy as sa
import structlog

from reel_shared import job_statements as statements
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import OutboxMessage, utcnow
from reel_shared.errors import DatabaseUnavailable
from reel_shared.jobs import Message

log = structlog.get_logger(__name__)
PAUSE_SECONDS = 0.2
"""From the first message to the note of all that were sent meanwhile."""
IDLE_SECONDS = 60.0
"""The thread ends when nothing was sent for so long."""
BATCH = 500


class Notes:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._pending: list[Message] = []
        self._runs = False

    def add(self, sent: Sequence[Message]) -> None:
        """Have it noted soon that these messages were sent."""
        with self._changed:
            self._pending.extend(sent)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="sent", daemon=True).start()
            self._changed.notify()

    def write(self) -> None:
        """Note now what has not been noted yet. What cannot be written is left to the reaper."""
        with self._writing:
            with self._changed:
                pending, self._pending = self._pending, []
            try:
                for start in range(0, len(pending), BATCH):
                    _write(pending[start : start + BATCH])
            except DatabaseUnavailable as error:
                log.warning("outbox.not_noted", jobs=len(pending), reason=str(error))

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._pending, IDLE_SECONDS):
                    self._runs = False
                    return
            time.sleep(PAUSE_SECONDS)
            try:
                self.write()
            except Exception:  # a thread that ended here would never note anything again
                log.exception("outbox.note_failed")


def note(sent: Sequence[Message]) -> None:
    """Note at once that these messages were sent.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    now = utcnow()
    with transaction() as session:
        statements.run_many(
            session, statements.SENT, [{"the_job": message.job_id, "sent_at": now} for message in sent]
        )
        # Only the rows that were read: a quick worker may have failed meanwhile, and its retry has a new row.
        statements.run_many(
            session,
            statements.FORGET_THIS_MESSAGE,
            [{"the_job": message.job_id, "the_moment": message.created_at} for message in sent],
        )


def _write(sent: Sequence[Message]) -> None:
    """Note what no worker has claimed meanwhile: mostly nothing, where they have little to do."""
    with reading() as session:
        left = set(
            session.scalars(
                sa.select(OutboxMessage.job_id).where(
                    OutboxMessage.job_id.in_([message.job_id for message in sent])
                )
            )
        )
    waiting = [message for message in sent if message.job_id in left]
    if waiting:
        note(waiting)


notes = Notes()
atexit.register(notes.write)
# The thread is not there in a child, and what its parent has sent the parent notes.
os.register_at_fork(after_in_child=notes.__init__)  # type: ignore[misc]
