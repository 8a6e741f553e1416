"""Which database errors are waited for, which are told at once, and what a person then reads."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from reel_shared.db import sqlite_writes
from reel_shared.db.engine import engine, is_away, transact, transaction
from reel_shared.embedded.postgres import Postgres
from reel_shared.errors import DatabaseUnavailable, ReelError
from reel_shared.settings import settings
from reel_shared.testing.stack import Reel


def execute(statement: str) -> None:
    with transaction() as session:
        session.execute(sa.text(statement))


def wrong(kind: str, server: Postgres) -> str:
    return {
        "password": server.url.replace(server.secret, "guessed"),
        "no password": server.url.replace(f":{server.secret}", ""),
        "user": server.url.replace(f"//{server.user}", "//somebody"),
        "database": server.url_of("unknown"),
    }[kind]


@pytest.mark.parametrize("kind", ["password", "no password", "user", "database"])
def test_a_refused_connection_is_told_at_once_and_not_as_a_server_that_is_away(
    kind: str, postgres: Postgres, reel_database: Reel
) -> None:
    reel_database.configure(database__url=wrong(kind, postgres), database__patience_seconds=20)
    started = time.monotonic()
    with pytest.raises(ReelError, match="REEL_DATABASE__URL") as told:
        transact(lambda session: session.execute(sa.text("SELECT 1")))
    assert time.monotonic() - started < 5
    assert not isinstance(told.value, DatabaseUnavailable)
    assert not told.value.retryable
    assert postgres.secret not in told.value.detail


def test_a_port_where_nobody_listens_is_a_server_that_is_away(reel_database: Reel) -> None:
    reel_database.configure(database__url="postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable):
        execute("SELECT 1")


@pytest.mark.parametrize(
    ("sqlstate", "away"),
    [
        *[
            (code, True)
            for code in ("08006", "57P01", "57P02", "57P03", "40001", "40P01", "53100", "53300", "55P03")
        ],
        *[(code, False) for code in ("57014", "42P01", "23505", "22012")],
    ],
)
def test_postgresql_is_judged_by_its_codes(
    postgres_url: str, reel_database: Reel, sqlstate: str, away: bool
) -> None:
    reel_database.configure(database__url=postgres_url)
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'no such thing' USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(DatabaseUnavailable if away else sa.exc.DBAPIError):
        execute(raising)


def test_a_session_that_the_server_ends_is_begun_again(postgres_url: str, reel_database: Reel) -> None:
    reel_database.configure(database__url=postgres_url)
    attempts: list[None] = []

    def once_ended(session: sa.orm.Session) -> int:
        attempts.append(None)
        if len(attempts) == 1:
            session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return session.scalar(sa.text("SELECT 1")) or 0

    assert transact(once_ended) == 1
    assert len(attempts) == 2


def test_only_a_connection_that_lay_idle_is_asked_whether_it_is_there(
    postgres_url: str, reel_database: Reel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reel_database.configure(database__url=postgres_url)
    asked: list[None] = []
    really_ask = type(engine().dialect).do_ping

    def ask(self: object, connection: object) -> bool:
        asked.append(None)
        return bool(really_ask(self, connection))  # type: ignore[arg-type]

    monkeypatch.setattr(type(engine().dialect), "do_ping", ask)
    for _ in range(3):
        execute("SELECT 1")
    assert asked == []
    with engine().connect() as other:
        execute("SELECT 1")  # two connections are in the pool from here on
        other.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
        )
    time.sleep(0.3)
    execute("SELECT 1")
    execute("SELECT 1")
    assert len(asked) >= 1


def test_a_deadlock_is_tried_again_until_both_have_written(postgres_url: str, reel_database: Reel) -> None:
    reel_database.configure(database__url=postgres_url)
    execute("CREATE TABLE pair (id int PRIMARY KEY, n int)")
    execute("INSERT INTO pair VALUES (1, 0), (2, 0)")
    first_try = threading.Barrier(2)

    def write(order: tuple[int, int]) -> None:
        tries: list[None] = []

        def both(session: sa.orm.Session) -> None:
            tries.append(None)
            for place, number in enumerate(order):
                session.execute(sa.text(f"UPDATE pair SET n = n + 1 WHERE id = {number}"))
                if place == 0 and len(tries) == 1:
                    first_try.wait(10)

        transact(both)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [(1, 2), (2, 1)]))
    with transaction() as session:
        assert session.scalars(sa.text("SELECT n FROM pair")).all() == [2, 2]


@contextmanager
def another_writes(url: str, seconds: float) -> Iterator[list[float]]:
    """Another connection, as of another process, holds SQLite's write lock for so long; yields when it let go."""
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    ended: list[float] = []

    def end() -> None:
        ended.append(time.monotonic())
        other.execute("COMMIT")

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield ended
    finally:
        timer.join()
        other.close()


def test_who_waits_to_write_to_sqlite_goes_on_as_soon_as_the_other_has_written(reel_database: Reel) -> None:
    """SQLite's own waiting sleeps a tenth of a second at a time by then."""
    execute("CREATE TABLE n (n INTEGER)")
    late = []
    for seconds in (0.34, 0.35, 0.36):
        with another_writes(settings().database.url, seconds) as ended:
            execute("INSERT INTO n VALUES (1)")
            late.append(time.monotonic() - ended[0])
    assert min(late) < 0.02, late


def test_threads_that_write_to_sqlite_wait_for_one_another_and_lose_nothing(reel_database: Reel) -> None:
    execute("CREATE TABLE n (n INTEGER)")
    execute("INSERT INTO n VALUES (0)")

    def add(number: int) -> None:
        def write(session: sa.orm.Session) -> None:
            found = session.scalar(sa.text("SELECT n FROM n"))
            session.execute(sa.text(f"UPDATE n SET n = {found + 1}"))
            if number % 5 == 0:
                raise ValueError(number)

        with suppress(ValueError):
            transact(write)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(100)))
    with transaction() as session:
        assert session.scalar(sa.text("SELECT n FROM n")) == 80


def test_sqlite_itself_waits_for_those_who_read_and_never_sleeps_for_those_who_write(
    reel_database: Reel,
) -> None:
    for write, milliseconds in ((True, 0), (True, 0), (False, 30_000), (False, 30_000), (True, 0)):
        with transaction(write=write) as session:
            assert session.scalar(sa.text("PRAGMA busy_timeout")) == milliseconds


def test_a_writer_that_keeps_sqlite_too_long_is_a_database_that_is_away(
    reel_database: Reel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writes, "PATIENCE_SECONDS", 0.2)
    with (
        another_writes(settings().database.url, 0.6),
        pytest.raises(DatabaseUnavailable),
        transaction() as session,
    ):
        session.execute(sa.text("SELECT 1"))
    execute("CREATE TABLE n (n INTEGER)")
    with transaction() as outer:
        outer.execute(sa.text("INSERT INTO n VALUES (1)"))
        with pytest.raises(DatabaseUnavailable), transaction() as session:
            session.execute(sa.text("SELECT 1"))


@pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "SELEKT 1", "SELECT nothing FROM jobs"])
def test_a_wrong_statement_is_never_a_database_that_is_away(
    databases: str, reel_database: Reel, statement: str
) -> None:
    reel_database.configure(database__url=databases)
    with pytest.raises(sa.exc.DBAPIError):
        execute(statement)


def test_an_sqlite_file_that_cannot_be_opened_is_waited_for(reel_database: Reel, tmp_path: Path) -> None:
    reel_database.configure(database__url=f"sqlite:///{tmp_path}/missing/reelsight.db")
    with pytest.raises(DatabaseUnavailable):
        execute("SELECT 1")


@pytest.mark.parametrize(
    ("code", "away"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, True),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_CANTOPEN, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_READONLY, False),
        (sqlite3.SQLITE_ERROR, False),
    ],
)
def test_sqlite_is_judged_by_its_primary_codes(code: int, away: bool) -> None:
    cause = sqlite3.OperationalError("told in words that may change")
    cause.sqlite_errorcode = code
    assert is_away(OperationalError("UPDATE jobs", {}, cause)) is away


def test_an_sqlite_file_on_a_full_disk_is_waited_for_and_told_as_that(reel_database: Reel) -> None:
    reel_database.configure(database__patience_seconds=0.3)

    def fill(session: sa.orm.Session) -> None:
        pages = session.scalar(sa.text("PRAGMA page_count"))
        session.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
        session.execute(sa.text("CREATE TABLE big AS SELECT randomblob(10000000) AS bytes"))

    with pytest.raises(DatabaseUnavailable, match="disk is full; make room"):
        transact(fill)
