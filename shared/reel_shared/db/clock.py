"""The clock by which leases run out and retries are due: the database server's, whichever host asks.

A host's clock may be wrong, and may be set while jobs run; two hosts that disagree would take jobs from one another.
The server's is read when a transaction begins, seldom, and carried on in between by a clock that nobody sets. SQLite
has no server, and all its processes are on one host: they read that host's. A step of the clock itself is noticed, so
that the reaper does not take it for time that has passed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

log = structlog.get_logger(__name__)
READ_SECONDS = 5.0
"""For so long the server's clock is carried on before it is read again."""
STEP_SECONDS = 2.0
"""By less than this the answer's way and the drift of a healthy clock may move it."""
_SLOW_SECONDS = 1.0
"""An answer that took longer says too little of when it was given."""
_NOW = sa.select(sa.func.clock_timestamp())


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    ahead: float
    """Seconds from this machine's time since its start to the Unix time that was read."""
    of_server: bool


_read: _Reading | None = None
_stepped_at = float("-inf")


def utcnow() -> datetime:
    """Return the time: by the database server's clock once a transaction has begun, before that by this host's."""
    reading = _read
    if reading is None or not reading.of_server:
        return datetime.now(UTC)
    return datetime.fromtimestamp(_running() + reading.ahead, UTC)


def follow(session: Session, *, at_once: bool = False) -> None:
    """Read the clock if it was not read lately, or ``at_once``; for ``transaction`` and the reaper."""
    global _read, _stepped_at
    before, asked = _read, _running()
    if before is not None and asked - before.at < READ_SECONDS and not at_once:
        return
    of_server = session.get_bind().dialect.name == "postgresql"
    told = session.execute(_NOW).scalar_one().timestamp() if of_server else time.time()
    answered = _running()
    if before is not None and answered - asked > _SLOW_SECONDS:
        return
    read = _Reading(answered, told - (asked + answered) / 2, of_server)
    _read = read
    if before is None:
        if of_server and abs(time.time() - told) > STEP_SECONDS:
            log.warning("clock.host_differs", seconds=round(time.time() - told, 1))
    elif abs(read.ahead - before.ahead) > STEP_SECONDS:
        _stepped_at = answered
        log.warning("clock.stepped", seconds=round(read.ahead - before.ahead, 1))


def stepped_within(seconds: float) -> bool:
    """Whether the clock was found to be set so lately that not everybody may have written by its new time."""
    return _running() - _stepped_at < seconds + READ_SECONDS


def forget() -> None:
    """Read the clock anew: another database is used."""
    global _read, _stepped_at
    _read, _stepped_at = None, float("-inf")


def _running() -> float:
    """Seconds since this machine started, its sleep included, the same for all its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
