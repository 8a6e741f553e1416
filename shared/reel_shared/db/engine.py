"""Engine and transactions for SQLite (WAL) and PostgreSQL; the one place that knows their differences.

``transaction()`` commits once, at its end; ``transact(fn)`` repeats a transaction while the server is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
import stamina
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from reel_shared.errors import DatabaseUnavailable
from reel_shared.settings import settings

T = TypeVar("T")


@cache
def engine(url: str | None = None) -> sa.Engine:
    url = url or settings().database.url
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    if url.startswith("sqlite"):
        made = sa.create_engine(url, connect_args={"timeout": 30})
        sa.event.listen(made, "connect", _on_sqlite_connect)
        sa.event.listen(made, "begin", _on_sqlite_begin)
        return made
    return sa.create_engine(
        url,
        pool_size=settings().database.pool_size,
        max_overflow=10,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            # A server that vanished without a word is noticed within 15 s, not after the kernel's two hours.
            "tcp_user_timeout": 15_000,
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 2,
        },
    )


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_sqlite_begin(connection: sa.Connection) -> None:
    # A deferred transaction that reads and then writes fails at once with SQLITE_BUSY when another wrote in
    # between; taking the write lock first waits for it instead.
    write = connection.get_execution_options().get("reel_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def dispose() -> None:
    """Close every pooled connection and forget the engine: after a fork, or when settings change."""
    for made in list(_engines()):
        made.dispose()
    engine.cache_clear()


def _engines() -> Iterator[sa.Engine]:
    if engine.cache_info().currsize:
        yield engine()


def is_away(error: BaseException) -> bool:
    """Whether the error says that the server is away, not that the statement is wrong."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, InterfaceError | OperationalError):
        text = str(error.orig).lower()
        return not any(word in text for word in ("no such", "syntax", "does not exist"))
    return isinstance(error, DBAPIError) and error.connection_invalidated


@contextmanager
def transaction(*, write: bool = True) -> Iterator[Session]:
    """Yield a session that commits when the block ends and rolls back when it raises.

    Raises:
        DatabaseUnavailable: the server is away.
    """
    bind = engine().execution_options(reel_write=write)
    try:
        with Session(bind, expire_on_commit=False) as session, session.begin():
            yield session
    except (DBAPIError, PoolTimeout) as error:
        if is_away(error):
            raise DatabaseUnavailable("The database does not answer; try again in a moment.") from error
        raise


def reading() -> Any:
    return transaction(write=False)


def transact(fn: Callable[[Session], T], *, patience: float | None = None) -> T:
    """Run ``fn`` in one write transaction, again from its start while the database is away.

    Args:
        patience: seconds to go on trying; ``settings().database.patience_seconds`` unless said.
    """
    seconds = settings().database.patience_seconds if patience is None else patience
    for attempt in stamina.retry_context(
        on=DatabaseUnavailable, attempts=None, timeout=seconds, wait_initial=0.1, wait_max=2.0
    ):
        with attempt, transaction() as session:
            return fn(session)
    raise AssertionError("unreachable")
