"""Engine and transactions for SQLite (WAL) and PostgreSQL; the one place that knows their differences.

``transaction()`` commits once, at its end; ``transact(fn)`` repeats a transaction while the server is away.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache, partial
from typing import Any, TypeVar

import sqlalchemy as sa
import stamina
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from reel_shared.db import clock, sqlite_writes
from reel_shared.errors import DatabaseUnavailable, ReelError
from reel_shared.settings import settings

T = TypeVar("T")
_POSTGRESQL_AWAY = frozenset({"57P01", "57P02", "57P03", "40001", "40P01", "53300", "55P03"})
"""Shutting down, crashed, starting up; serialization, deadlock; too many connections, lock not available."""
_SQLITE_AWAY = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
)
_POSTGRESQL_FULL = "53100"
IDLE_SECONDS = 0.2
"""A connection that was used so lately is taken without asking."""
MOST_CONNECTIONS = 15
"""To PostgreSQL from a process that keeps fewer; those beyond are closed after each use, and to open one costs much."""
_USED = "reel_used"
_REFUSALS = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "permission denied for database",
    "server does not support SSL",
    "certificate verify failed",
)


@cache
def engine(url: str | None = None) -> sa.Engine:
    url = url or settings().database.url
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    if url.startswith("sqlite"):
        made = sa.create_engine(url, connect_args={"timeout": 30})
        sa.event.listen(made, "connect", _on_sqlite_connect)
        sa.event.listen(made, "begin", _on_sqlite_begin)
        sqlite_writes.listen(made)
        return made
    made = sa.create_engine(
        url,
        pool_size=settings().database.pool_size,
        max_overflow=max(0, MOST_CONNECTIONS - settings().database.pool_size),
        # The one used last first: it need not be asked whether it is there, and has its statements prepared.
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": 5,
            # A server that vanished without a word is noticed within 15 s, not after the kernel's two hours.
            "tcp_user_timeout": 15_000,
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 2,
        },
    )
    sa.event.listen(made, "checkout", partial(_ask_the_idle, made.dialect))
    sa.event.listen(made, "checkin", _note_use)
    return made


def _ask_the_idle(dialect: Any, raw: Any, record: Any, _proxy: Any) -> None:
    """Ask whether the server is still there, but not through a connection that it has just answered.

    To ask each time is one round trip in seven of a job's.
    """
    used = record.info.get(_USED)
    if used is None or time.monotonic() - used < IDLE_SECONDS:
        return
    try:
        dialect.do_ping(raw)
    except dialect.loaded_dbapi.Error as error:
        raise sa.exc.InvalidatePoolError from error  # the pool connects anew, and lets go of all that it has


def _note_use(_raw: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


@lru_cache(maxsize=8)
def _bind(made: sa.Engine, write: bool, alone: bool) -> sa.Engine:
    if made.dialect.name == "postgresql" and alone:
        return made.execution_options(isolation_level="AUTOCOMMIT")
    return made.execution_options(reel_write=write)


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own
    cursor = connection.cursor()
    wait = f"busy_timeout={sqlite_writes.PATIENCE_SECONDS * 1000:.0f}"
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", wait, "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_sqlite_begin(connection: sa.Connection) -> None:
    # A deferred transaction that reads and then writes fails at once with SQLITE_BUSY when another wrote in
    # between; taking the write lock first waits for it instead.
    if connection.get_execution_options().get("reel_write", False):
        sqlite_writes.begin(connection)
    else:
        sqlite_writes.begin_reading(connection)


def dispose() -> None:
    """Close every pooled connection and forget the engine: after a fork, or when settings change."""
    for made in list(_engines()):
        made.dispose()
    engine.cache_clear()
    _bind.cache_clear()
    clock.forget()


def _engines() -> Iterator[sa.Engine]:
    if engine.cache_info().currsize:
        yield engine()


def is_away(error: BaseException) -> bool:
    """Whether the same transaction may succeed in a moment: the server is away or busy, not the statement wrong.

    Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html, https://sqlite.org/rescode.html
    """
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        # Its low byte is the primary code; the driver's own complaints have none.
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_AWAY
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return error.connection_invalidated or state in _POSTGRESQL_AWAY or state.startswith("08")
    return error.connection_invalidated or (isinstance(error, OperationalError) and not is_refused(error))


def is_full(error: BaseException) -> bool:
    """Whether there is no room for what is written; nothing of the transaction is there, and it may be later."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return getattr(error.orig, "sqlstate", None) == _POSTGRESQL_FULL


def is_refused(error: BaseException) -> bool:
    """Whether PostgreSQL answered and lets nobody in with this address, user and password."""
    if not isinstance(error, OperationalError) or isinstance(error.orig, sqlite3.Error):
        return False
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state.startswith("28") or state == "3D000"
    # libpq keeps no code of a connection that was refused, only the text.
    text = str(error.orig)
    return any(phrase in text for phrase in _REFUSALS)


@contextmanager
def transaction(*, write: bool = True, alone: bool = False) -> Iterator[Session]:
    """Yield a session that commits when the block ends and rolls back when it raises.

    Args:
        write: False for one that only reads.
        alone: PostgreSQL has no transaction and commits each statement by itself, for what is one statement there: to
            begin and to end one are two round trips.

    Raises:
        DatabaseUnavailable: the server is away, or its disk is full.
        ReelError: it lets nobody in with this user, password or database name.
    """
    try:
        with Session(_bind(engine(), write, alone), expire_on_commit=False) as session, session.begin():
            clock.follow(session)
            yield session
    except (DBAPIError, PoolTimeout) as error:
        if is_full(error):
            raise DatabaseUnavailable("The database's disk is full; make room on it.") from error
        if is_away(error):
            raise DatabaseUnavailable("The database does not answer; try again in a moment.") from error
        if is_refused(error):
            raise ReelError(
                "The database refuses the connection; correct the user, password or name in REEL_DATABASE__URL."
            ) from error
        raise


def reading(*, alone: bool = False) -> Any:
    return transaction(write=False, alone=alone)


def transact(fn: Callable[[Session], T], *, patience: float | None = None, alone: bool = False) -> T:
    """Run ``fn`` in one write transaction, again from its start while the database is away or full.

    Args:
        alone: as ``transaction`` has it.
        patience: seconds to go on trying; ``settings().database.patience_seconds`` unless said.
    """
    seconds = settings().database.patience_seconds if patience is None else patience
    # The first try by itself: what counts the others costs as much as a statement.
    with suppress(DatabaseUnavailable), transaction(alone=alone) as session:
        return fn(session)
    for attempt in stamina.retry_context(
        on=DatabaseUnavailable, attempts=None, timeout=seconds, wait_initial=0.1, wait_max=2.0
    ):
        with attempt, transaction(alone=alone) as session:
            return fn(session)
    raise AssertionError("unreachable")
