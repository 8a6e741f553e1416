"""Two releases side by side: jobs of a newer API in an older worker, and the reverse; older code on a newer schema."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from reel_shared import jobs
from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest, MakeVariantsResult
from reel_shared.db.engine import engine, transaction
from reel_shared.db.migrate import config
from reel_shared.db.models import Base, Job
from reel_shared.runner import Context, run_job
from reel_shared.testing.stack import Reel

EXPANDING_SINCE = "0008"
"""The first release whose predecessor may run beside it."""


@pytest.mark.parametrize("change", ["newer", "older"])
def test_a_worker_runs_the_jobs_of_another_releases_api(
    reel_database: Reel, databases: str, change: str
) -> None:
    """Newer: a field that this worker does not know. Older: none of those that have a default now."""
    with transaction() as session:
        job = jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest(dataset="d"))
        job_id = job.id
        job.request = (
            {**job.request, "of_a_later_release": {"a": 1}} if change == "newer" else {"dataset": "d"}
        )
    seen: list[MakeVariantsRequest] = []

    def work(_context: Context, request: MakeVariantsRequest) -> jobs.Outcome:
        seen.append(request)
        return jobs.Outcome(MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={}))

    run_job(MAKE_VARIANTS, work, job_id)
    assert seen == [MakeVariantsRequest(dataset="d")]
    with transaction() as session:
        assert session.get_one(Job, job_id).state == "succeeded"


def test_a_job_of_another_release_can_be_submitted_again(reel_database: Reel) -> None:
    with transaction() as session:
        job = jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest(dataset="d"))
        job.request = {**job.request, "of_a_later_release": 1}
        jobs.cancel(session, job.id)
        assert jobs.replay(session, job.id).request["dataset"] == "d"


def test_a_migration_takes_nothing_from_the_release_that_still_runs(
    reel_database: Reel, tmp_path: Path
) -> None:
    """Tables and columns stay, and what is new needs no value that an older release would not write."""
    reel_database.configure(database__url=f"sqlite:///{tmp_path / 'steps.sqlite'}")
    revisions = [each.revision for each in ScriptDirectory.from_config(config()).walk_revisions()][::-1]
    before: dict[str, dict[str, bool]] = {}
    for revision in revisions:
        go(revision)
        after = columns()
        if revision >= EXPANDING_SINCE:
            for table, known in before.items():
                assert known.keys() <= after[table].keys(), f"{revision} drops columns of {table}"
                new = {name for name, needed in after[table].items() if needed} - known.keys()
                assert not new, f"{revision}: an older release writes no {new} into {table}"
        before = after
    assert before.keys() >= Base.metadata.tables.keys()


def go(revision: str) -> None:
    made = config()
    with engine().execution_options(reel_write=True).connect() as connection:
        made.attributes["connection"] = connection
        command.upgrade(made, revision)


def columns() -> dict[str, dict[str, bool]]:
    """Table -> column -> whether a row needs a value for it."""
    inspector = sa.inspect(engine())
    return {
        table: {
            column["name"]: not column["nullable"] and column["default"] is None
            for column in inspector.get_columns(table)
        }
        for table in inspector.get_table_names()
    }
