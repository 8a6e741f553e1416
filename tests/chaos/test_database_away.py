"""The database goes away in the middle of work: the work goes on, and its end is written when it is back."""

from __future__ import annotations

import time

import psutil
import pytest
import sqlalchemy as sa
from chaos_stage import Stage

from reel_shared.db.engine import transaction
from reel_shared.embedded.postgres import Postgres
from reel_shared.errors import DatabaseUnavailable
from reel_shared.jobs import State

pytestmark = [pytest.mark.chaos, pytest.mark.servers]

AWAY_SECONDS = 20


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Only a server can go away."""
    return postgres_url


def test_work_outlives_a_database_that_is_killed_for_longer_than_a_lease(
    stage: Stage, postgres: Postgres
) -> None:
    # The reaper comes back long before the worker does, and has to wait for it.
    stage.reel.configure(jobs__lease_seconds=3, jobs__heartbeat_seconds=1, jobs__reaper_seconds=0.05)
    stage.reaper()
    worker = stage.worker()
    running, *waiting = stage.submit("work", seconds=2) + stage.submit(jobs_wanted=4)
    stage.until_running(running)
    postgres.kill()
    with pytest.raises(DatabaseUnavailable), transaction() as session:
        session.execute(sa.text("SELECT 1"))
    time.sleep(AWAY_SECONDS)  # the job's work is over and its lease too
    postgres.start()
    stage.until_ended(running, *waiting, seconds=60)
    stage.check({"succeeded": 5})
    assert stage.starts(running) == [1], "nobody took the job from its living worker"
    assert worker.running


def test_a_short_absence_costs_no_attempt_and_no_lease(stage: Stage, postgres: Postgres) -> None:
    """Stopped cleanly and started again, as an upgrade would, while jobs run and heartbeats are due."""
    stage.reaper()
    stage.worker()
    stage.submit("work", seconds=0.3, jobs_wanted=8)
    stage.until(lambda: stage.states().get(State.SUCCEEDED, 0) >= 2, "work is under way")
    for _ in range(2):
        postgres.restart()
        done = stage.states().get(State.SUCCEEDED, 0)
        stage.until(lambda done=done: stage.states().get(State.SUCCEEDED, 0) > done, "work goes on")
    stage.until_ended()
    stage.check({"succeeded": 8})
    assert stage.starts() == [1] * 8


def test_a_database_that_hangs_is_waited_for(stage: Stage, postgres: Postgres) -> None:
    stage.reaper()
    stage.worker()
    (job_id,) = stage.submit("work", seconds=1)
    stage.until_running(job_id)
    server = psutil.Process(postgres.pid)
    hung = [server, *server.children()]  # it gives each of its processes a group of its own
    for process in hung:
        process.suspend()
    time.sleep(3)  # longer than the lease: no heartbeat gets through
    for process in reversed(hung):
        process.resume()
    stage.until_ended()
    stage.check({"succeeded": 1})
