"""A job in parts on several workers, some of which are killed: every part is done once, whoever is left does it."""

from __future__ import annotations

import pytest
from chaos_stage import Stage

from reel_shared import jobs
from reel_shared.db.engine import transact
from reel_shared.jobs import State

pytestmark = [pytest.mark.chaos, pytest.mark.servers]
PARTS = 8


def spread(stage: Stage, seconds: float = 0.5) -> str:
    (job_id,) = stage.submit_collect("spread", parts=PARTS, seconds=seconds)
    stage.until(lambda: stage.parts(job_id), "the parts are submitted")
    return job_id


def check_whole(stage: Stage, job_id: str, *, attempts: int) -> None:
    """The parent names the parts' results in order, and each part, like the parent, wrote its row once."""
    stage.check({"succeeded": PARTS + 1})
    whole = stage.job(job_id)
    assert whole.result is not None
    assert whole.result["counts"]["refused"] == {str(number): number for number in range(PARTS)}
    assert (whole.attempt, whole.progress_done, whole.progress_total) == (attempts, 10 * PARTS, 10 * PARTS)


def test_two_workers_share_the_parts(stage: Stage, databases: str) -> None:
    workers = {stage.worker("ingest").pid for _ in range(2)}
    job_id = spread(stage)
    stage.until_ended()
    check_whole(stage, job_id, attempts=1)
    assert {pid_of(part.worker) for part in stage.parts(job_id)} == workers


@pytest.mark.parametrize("victim", ["parent", "helper"])
def test_a_killed_worker_costs_its_parts_one_attempt(stage: Stage, databases: str, victim: str) -> None:
    stage.reaper()
    stage.worker("ingest")
    stage.worker("ingest")
    job_id = spread(stage)
    holder = stage.holder(job_id)
    stage.until(lambda: len(stage.busy()) == 2, "both have a part")
    doomed = holder if victim == "parent" else next(each for each in stage.actors[1:] if each is not holder)
    stage.until(lambda: running_on(stage, job_id, doomed.pid), "it has a part in hand")
    doomed.kill()
    stage.until_ended()
    check_whole(stage, job_id, attempts=2 if victim == "parent" else 1)
    assert len(stage.parts(job_id)) == PARTS, "nothing was submitted twice"
    assert sorted(part.attempt for part in stage.parts(job_id)) == [*[1] * (PARTS - 1), 2]


def test_a_worker_told_to_go_leaves_its_parts_to_the_others(stage: Stage) -> None:
    stage.reaper()
    first = stage.worker("ingest")
    job_id = spread(stage)
    assert first.stop() == 0
    assert (stage.job(job_id).state, stage.job(job_id).attempt) == (State.RUNNING, 0)
    stage.worker("ingest")
    stage.until_ended()
    check_whole(stage, job_id, attempts=1)


def test_a_cancel_stops_every_worker_of_the_job(stage: Stage) -> None:
    stage.worker("ingest")
    stage.worker("ingest")
    job_id = spread(stage, seconds=10)
    stage.until(lambda: len(stage.busy()) == 2, "both have a part")
    transact(lambda session: jobs.cancel(session, job_id))
    stage.until_ended(seconds=5)
    stage.check({"canceled": PARTS + 1})


def running_on(stage: Stage, job_id: str, pid: int) -> bool:
    return any(part.state == State.RUNNING and pid_of(part.worker) == pid for part in stage.parts(job_id))


def pid_of(worker: str) -> int:
    return int(worker.rpartition(":")[2])
