"""Workers that are killed, stopped, poisoned or told to go: the job ends once, whatever became of them."""

from __future__ import annotations

import signal
import time

import pytest
from chaos_stage import Stage

from reel_shared import jobs
from reel_shared.db.engine import transact
from reel_shared.jobs import State

pytestmark = [pytest.mark.chaos, pytest.mark.servers]


def test_a_killed_workers_job_runs_again_within_lease_and_scan(stage: Stage, databases: str) -> None:
    stage.reaper()
    stage.worker()
    stage.worker()
    (job_id,) = stage.submit("work", seconds=1.5)
    stage.until_running(job_id)
    stage.holder(job_id).kill()
    killed = time.monotonic()
    stage.until_running(job_id, attempt=2)
    limits = stage.reel.settings.jobs
    assert time.monotonic() - killed < limits.lease_seconds + limits.reaper_seconds + 2
    stage.until_ended()
    stage.check({"succeeded": 1})
    assert stage.starts(job_id) == [1, 2]


def test_a_stopped_worker_that_wakes_up_late_can_change_nothing(stage: Stage, databases: str) -> None:
    stage.reaper()
    sleeper = stage.worker()
    (job_id,) = stage.submit("work", seconds=1)
    stage.until_running(job_id)
    sleeper.send(signal.SIGSTOP)
    other = stage.worker()
    stage.until_ended()
    before = stage.job(job_id)
    assert before.result is not None
    assert before.result["sources"] == other.pid
    sleeper.send(signal.SIGCONT)
    stage.until(lambda: "job.ended" in sleeper.log.read_text(), "the late worker ends its attempt")
    after = stage.job(job_id)
    assert (after.result, after.version) == (before.result, before.version)
    stage.check({"succeeded": 1})
    (next_id,) = stage.submit()
    other.stop()
    stage.until_ended(next_id)
    stage.check({"succeeded": 2})


def test_a_busy_worker_keeps_no_other_job_from_an_idle_one(stage: Stage) -> None:
    stage.worker()
    stage.worker()
    (long,) = stage.submit("work", seconds=6)
    stage.until_running(long)
    stage.submit("work", jobs_wanted=8)
    stage.until(lambda: stage.states().get(State.SUCCEEDED) == 8, "the idle worker runs the short jobs", 5)
    assert stage.job(long).state == State.RUNNING


def test_a_poison_job_stops_after_its_attempts_and_harms_no_other(stage: Stage) -> None:
    stage.reaper()
    (poison,) = stage.submit("die")
    others = stage.submit("work", seconds=0.1, jobs_wanted=5)
    with stage.kept_alive(lambda: stage.worker(ready=False)):
        stage.until_ended(seconds=60)
        assert stage.starts(poison) == [1, 2, 3]
        error = stage.job(poison).error
        assert error is not None
        assert error["type"].endswith("attempts-exhausted")
        assert [stage.job(other).state for other in others] == [State.SUCCEEDED] * 5
        stage.check({"succeeded": 5, "failed": 1})
        again = transact(lambda session: jobs.replay(session, poison).id)
        stage.until_running(again, attempt=1)
        transact(lambda session: jobs.cancel(session, again))
        stage.until_ended(again)
    stage.check({"succeeded": 5, "failed": 1, "canceled": 1})


def test_a_job_that_killed_its_worker_once_succeeds_the_second_time(stage: Stage) -> None:
    stage.reaper()
    (job_id,) = stage.submit("die", times=1)
    with stage.kept_alive(lambda: stage.worker(ready=False)):
        stage.until_ended(job_id)
    assert stage.starts(job_id) == [1, 2]
    stage.check({"succeeded": 1})


def test_a_worker_told_to_go_finishes_a_short_job_and_takes_no_other(stage: Stage) -> None:
    worker = stage.worker()
    short, waiting = stage.submit("work", seconds=0.6, jobs_wanted=2)
    stage.until_running(short)
    assert worker.stop() == 0
    assert stage.job(short).state == State.SUCCEEDED
    assert stage.job(waiting).state == State.QUEUED
    assert stage.starts(waiting) == []
    stage.reaper()
    stage.worker()
    stage.until_ended()
    stage.check({"succeeded": 2})


def test_a_worker_told_to_go_gives_a_long_job_back_unharmed(stage: Stage, databases: str) -> None:
    stage.reaper()
    worker = stage.worker()
    (job_id,) = stage.submit("work", seconds=4)
    stage.until_running(job_id)
    asked = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - asked < stage.reel.settings.jobs.drain_seconds + 3
    returned = stage.job(job_id)
    assert (returned.state, returned.attempt, returned.lease_token) == (State.RUNNING, 0, None)
    stage.worker()
    stage.until_ended()
    stage.check({"succeeded": 1})
    assert stage.job(job_id).attempt == 1
    assert stage.starts(job_id) == [1, 1]


def test_soft_and_hard_time_limits_end_jobs_with_timeout(stage: Stage) -> None:
    limits = {"REEL_JOBS__TIME_LIMIT_SECONDS": "0.7", "REEL_JOBS__HARD_LIMIT_GRACE_SECONDS": "0.7"}
    stage.reaper()
    (polite,) = stage.submit("work", seconds=20)
    (deaf,) = stage.submit("deaf", seconds=40)
    (after,) = stage.submit("work")
    with stage.kept_alive(lambda: stage.worker(ready=False, **limits)) as slots:
        first = slots[0]
        stage.until_ended(seconds=30)
        assert first.exit_status() == 70, "the deaf job's worker ends itself"
    for job_id in (polite, deaf):
        error = stage.job(job_id).error
        assert error is not None
        assert error["type"].endswith("timeout")
        assert stage.starts(job_id) == [1]
    assert stage.job(after).state == State.SUCCEEDED
    stage.check({"failed": 2, "succeeded": 1})


def test_a_running_job_stops_within_a_heartbeat_of_the_cancel_wish(stage: Stage) -> None:
    stage.worker()
    (job_id,) = stage.submit("work", seconds=20)
    stage.until_running(job_id)
    transact(lambda session: jobs.cancel(session, job_id))
    asked = time.monotonic()
    stage.until_ended()
    assert time.monotonic() - asked < stage.reel.settings.jobs.heartbeat_seconds + 1
    stage.check({"canceled": 1})


def test_errors_that_may_pass_are_tried_again_and_others_are_not(stage: Stage) -> None:
    stage.reaper()
    stage.worker()
    (stumbles,) = stage.submit("stumble", times=2)
    (falls,) = stage.submit("stumble")
    (refuses,) = stage.submit("refuse")
    stage.until_ended()
    assert stage.starts(stumbles) == [1, 2, 3]
    assert stage.starts(falls) == [1, 2, 3]
    assert stage.starts(refuses) == [1]
    stage.check({"succeeded": 1, "failed": 2})
    error = stage.job(falls).error
    assert error is not None
    assert error["attempts"] == 3
