"""Clocks are set forwards and backwards while jobs run: none is lost, doubled, or taken from a worker that lives.

With PostgreSQL, workers and reapers have clocks of their own, which need not agree; with SQLite they are on one host.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from chaos_clocks import HostClock
from chaos_stage import Stage

pytestmark = [pytest.mark.chaos, pytest.mark.servers]
SEEDS = [int(seed) for seed in os.environ.get("REEL_CHAOS_SEEDS", "1").split()]
STEPS = int(os.environ.get("REEL_CHAOS_STEPS", "6"))
MINUTES = (-90, -10, -1, 0, 1, 10, 90)
STEP_IS_OVER = 8.0
"""Seconds after which everybody has read the clock anew, and the reaper trusts leases again."""


def clocks(stage: Stage, tmp_path: Path, hosts: int) -> list[HostClock]:
    """Return the clocks of so many hosts: one for all where the database has no server."""
    shared = stage.reel.settings.database.url.startswith("sqlite")
    made = [HostClock(tmp_path / f"clock-{number}") for number in range(1 if shared else hosts)]
    return made * hosts if shared else made


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_of_clocks_lose_double_and_steal_no_job(
    stage: Stage, databases: str, tmp_path: Path, seed: int
) -> None:
    # A retry that waits by a clock that is set back waits no longer than any may: not the minute of a step.
    stage.reel.configure(jobs__retry_max_seconds=3)
    dice = random.Random(seed)
    hosts = clocks(stage, tmp_path, 3)
    for host in hosts[:2]:
        stage.worker(ready=False, **host.env)
    reaper = stage.reaper(**hosts[2].env)
    long_ones = stage.submit("work", seconds=STEPS * 0.8, jobs_wanted=2)  # as long as all the steps
    stage.until(lambda: len(stage.busy()) == 2, "both workers are at work")
    stumbling = stage.submit("stumble", times=1, jobs_wanted=2)
    for _ in range(STEPS):
        host = dice.choice(hosts)
        host.step_to(60 * dice.choice([minutes for minutes in MINUTES if 60 * minutes != host.ahead]))
        time.sleep(dice.uniform(0.5, 1.0))
    stage.until_ended(seconds=60)
    stage.check({"succeeded": 4})
    assert [stage.starts(job_id) for job_id in long_ones] == [[1], [1]], (
        "a job was taken from a living worker"
    )
    assert [stage.starts(job_id) for job_id in stumbling] == [[1, 2], [1, 2]]
    assert reaper.running


def test_a_worker_that_dies_after_a_step_is_noticed_in_time(stage: Stage, tmp_path: Path) -> None:
    """What was written by a clock that was ahead must not keep a dead worker's job, nor a retry, waiting for it."""
    stage.reel.configure(jobs__retry_max_seconds=3)
    worker_host, other_host, reaper_host = clocks(stage, tmp_path, 3)
    worker_host.step_to(3600)
    stage.reaper(**reaper_host.env)
    stage.worker(**worker_host.env)
    (job_id,) = stage.submit("work", seconds=4)
    stage.until_running(job_id)
    (stumbles,) = stage.submit("stumble", times=1)
    stage.holder(job_id).kill()
    for host in (worker_host, other_host, reaper_host):
        host.step_to(0)
    stage.worker(**other_host.env)
    set_back = time.monotonic()
    stage.until_running(job_id, attempt=2)
    limits = stage.reel.settings.jobs
    assert time.monotonic() - set_back < limits.lease_seconds + STEP_IS_OVER + limits.reaper_seconds
    stage.until_ended(seconds=30)
    stage.check({"succeeded": 2})
    assert stage.starts(job_id) == [1, 2]
    assert stage.starts(stumbles) == [1, 2]
