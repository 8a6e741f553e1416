"""Everything is killed at random for a while, by a seed; afterwards each job has ended exactly once.

``make chaos`` asks for more seeds, jobs and kills through the environment.
"""

from __future__ import annotations

import os
import random
import threading
import time

import pytest
from chaos_stage import Stage

pytestmark = [pytest.mark.chaos, pytest.mark.servers]

SEEDS = [int(seed) for seed in os.environ.get("REEL_CHAOS_SEEDS", "1").split()]
JOBS = int(os.environ.get("REEL_CHAOS_JOBS", "150"))
KILLS = int(os.environ.get("REEL_CHAOS_KILLS", "14"))
SECONDS = 0.85 * KILLS
"""Over which the jobs are submitted: a little less than that many kills take."""


@pytest.mark.timeout(400 + 5 * KILLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_kills_of_workers_reaper_and_broker_lose_and_double_nothing(
    stage: Stage, databases: str, seed: int
) -> None:
    """A job may run again because its worker was killed, and fail when that happened three times; no more."""
    dice, began = random.Random(seed), time.monotonic()
    starts = [lambda: stage.worker(ready=False)] * 3 + [stage.reaper]
    closing = threading.Event()
    submitting = threading.Thread(target=submit_slowly, args=(stage, closing))
    with stage.kept_alive(*starts) as slots:
        submitting.start()
        for _ in range(KILLS):  # by number, not by time: on a slow machine a kill takes longer
            time.sleep(dice.uniform(0.3, 1.0))
            victim = dice.choice(["worker", "worker", "worker", "reaper", "broker"])
            if victim == "broker":
                stage.valkey.kill()
                time.sleep(dice.uniform(0, 0.5))
                stage.valkey.start()
            elif victim == "reaper":
                slots[3].kill()
            else:
                busy = stage.busy()
                dice.choice([slot for slot in slots[:3] if slot.pid in busy] or slots[:3]).kill()
        submitting.join()
        stage.until(lambda: sum(stage.states().values()) >= JOBS, "all jobs are submitted")
        stage.until_ended(seconds=60)
    closing.set()
    stage.check()
    states = stage.states()
    assert sum(states.values()) == JOBS
    assert states["succeeded"] >= JOBS * 0.9
    assert max(stage.starts()) > 1, "no kill hit a running job: this run proves nothing"
    repeated = sum(attempt > 1 for attempt in stage.starts())
    print(  # noqa: T201 - `make chaos` shows it
        f"seed {seed}: {JOBS} jobs, {KILLS} kills, {time.monotonic() - began:.0f} s; {states['succeeded']} succeeded, "
        f"{states.get('failed', 0)} failed, {repeated} attempts were second or later ones"
    )


def submit_slowly(stage: Stage, closing: threading.Event) -> None:
    for _ in range(JOBS // 10):
        stage.submit("work", seconds=0.15, jobs_wanted=10)
        if closing.wait(SECONDS / (JOBS // 10)):
            return
