"""Whose turn it is to write to SQLite, which lets one transaction write at a time. Called by ``engine``.

SQLite's own way of waiting is to sleep, longer each time and up to a tenth of a second, however soon the other writer
ends: with a few writers most of the time was slept away. Here the threads of a process wait for one another by a
lock, which wakes the next one at once, and the one thread that is left of each process asks often.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from typing import Any

import sqlalchemy as sa

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.0005
"""Between two questions to SQLite: less than a transaction of ours takes, and cheap for one thread a process."""
_BUSY_TIMEOUT = "PRAGMA busy_timeout"
_HAS_TURN = "reel_has_turn"
_IMPATIENT = "reel_impatient"
"""Set while SQLite itself does not wait on a connection; it is told only when that changes."""

_turn = threading.Lock()


def listen(engine: sa.Engine) -> None:
    """Have the turn given back with the connection that has it, however its transaction ended."""
    sa.event.listen(engine, "checkin", _give_back)
    sa.event.listen(engine, "invalidate", _give_back)


def begin(connection: sa.Connection) -> None:
    """Begin a transaction that writes, as soon as no other does.

    Raises:
        OperationalError: with SQLite's code ``SQLITE_BUSY``, when others have written for 30 s.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    pooled = connection.connection
    raw = pooled.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    if _HAS_TURN not in pooled.info and _turn.acquire(timeout=PATIENCE_SECONDS):
        pooled.info[_HAS_TURN] = True
    if _IMPATIENT not in pooled.info:
        raw.execute(f"{_BUSY_TIMEOUT}=0")
        pooled.info[_IMPATIENT] = True
    while time.monotonic() < end:
        try:
            raw.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                break
            time.sleep(PAUSE_SECONDS)
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # once more, for SQLAlchemy's own kind of error


def begin_reading(connection: sa.Connection) -> None:
    """Begin a transaction that reads, which waits for nobody who writes, only while the database is put in order."""
    info = connection.connection.info
    if info.pop(_IMPATIENT, False):
        connection.exec_driver_sql(f"{_BUSY_TIMEOUT}={PATIENCE_SECONDS * 1000:.0f}")
    connection.exec_driver_sql("BEGIN")


def _give_back(_raw: Any, record: Any, *_reason: Any) -> None:
    if record.info.pop(_HAS_TURN, False):
        _turn.release()


def _forget() -> None:
    global _turn
    _turn = threading.Lock()


os.register_at_fork(after_in_child=_forget)
