"""Migrations lead to exactly the models' schema, keep rows, and lead back, on SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from reel_shared import contracts, jobs
from reel_shared.db.awaited import is_there
from reel_shared.db.engine import engine, reading, transaction
from reel_shared.db.migrate import config, migrate
from reel_shared.db.models import Base, Job, utcnow
from reel_shared.testing.stack import Reel

_numbers = itertools.count()
pytestmark = pytest.mark.servers


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server = request.getfixturevalue("postgres")
    name = f"empty_{next(_numbers)}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture(autouse=True)
def kernel(reel_database: Reel, empty_database: str) -> Iterator[Reel]:
    reel_database.configure(database__url=empty_database)
    yield reel_database
    reel_database.configure(database__url="sqlite://")  # closes the connections before the drop


def go(direction: str, revision: str) -> None:
    made = config()
    with engine().execution_options(reel_write=True).connect() as connection:
        made.attributes["connection"] = connection
        getattr(command, direction)(made, revision)


def indexes() -> dict[str, str]:
    """Return every index as the database itself would write it, with its condition."""
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if engine().dialect.name == "sqlite"
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    with engine().connect() as connection:
        found = connection.execute(sa.text(query)).all()
    return {name: " ".join(sql.replace('"', "").split()) for name, sql in found if "alembic" not in name}


def tables() -> set[str]:
    return set(sa.inspect(engine()).get_table_names()) - {"alembic_version"}


def test_the_newest_schema_is_exactly_the_models() -> None:
    migrate()
    with engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_every_index_and_its_condition_is_as_the_models_make_it() -> None:
    """Alembic's comparison does not see the conditions of partial indexes, which guard the ends of jobs."""
    migrate()
    migrated = indexes()
    go("downgrade", "base")
    assert tables() == set()
    Base.metadata.create_all(engine())
    assert indexes() == migrated
    assert "uq_job_events_terminal" in migrated


def test_each_revision_goes_down_and_up_again() -> None:
    revisions = [each.revision for each in ScriptDirectory.from_config(config()).walk_revisions()][::-1]
    for revision in revisions:
        go("upgrade", revision)
        up = tables()
        go("downgrade", "-1")
        go("upgrade", revision)
        assert tables() == up
    go("downgrade", "base")
    assert tables() == set()


def test_migrating_again_keeps_what_is_there() -> None:
    migrate()
    with transaction() as session:
        job_id = jobs.submit(session, contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest()).id
    migrate()
    with reading() as session:
        assert session.get(Job, job_id) is not None


def test_times_come_back_as_they_went_in_and_naive_ones_are_refused() -> None:
    migrate()
    now = utcnow()
    values = {"id": "job_1", "kind": "k", "queue": "q", "state": "queued", "max_attempts": 1, "request": {}}
    with transaction() as session:
        session.add(Job(**values, not_before=now))
    with reading() as session:
        kept = session.get(Job, "job_1").not_before
    assert kept == now
    assert kept.utcoffset() is not None
    with pytest.raises(sa.exc.StatementError, match="naive"), transaction() as session:
        session.add(Job(**{**values, "id": "job_2"}, not_before=now.replace(tzinfo=None)))


def test_rows_of_unknown_jobs_are_refused() -> None:
    """SQLite checks foreign keys only when asked to."""
    migrate()
    with pytest.raises(sa.exc.IntegrityError), transaction() as session:
        session.execute(
            sa.text("INSERT INTO outbox (job_id, kind, created_at) VALUES ('job_0', 'k', :now)"),
            {"now": utcnow().isoformat(" ")},
        )


def test_a_release_waits_for_its_own_schema_and_not_for_an_older_one() -> None:
    assert not is_there()
    migrate()
    assert is_there()
    go("downgrade", "-1")
    assert not is_there()


def test_a_release_that_is_taken_back_starts_on_the_newer_schema() -> None:
    migrate()
    with engine().execution_options(reel_write=True).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'of_a_later_release'"))
    assert is_there()
