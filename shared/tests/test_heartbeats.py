"""Every job has its beats from the one thread, whatever the others do."""

from __future__ import annotations

import threading
import time

import pytest

from reel_shared import heartbeats as module
from reel_shared.heartbeats import Heartbeats


def until(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_each_job_is_beaten_for_at_its_own_pace_and_one_that_fails_keeps_no_other_from_it() -> None:
    beats, slow, failing = Heartbeats(), [], []

    def fail() -> None:
        failing.append(1)
        raise RuntimeError("the database is away")

    with beats.kept("job_slow", lambda: slow.append(1), 60.0):  # the thread then waits for long
        with beats.kept("job_failing", fail, 0.02):
            until(lambda: len(failing) >= 3)
        count = len(failing)
        quick: list[int] = []
        with beats.kept("job_quick", lambda: quick.append(1), 0.02):
            until(lambda: len(quick) >= 3)
    assert (len(failing), slow) == (count, [])


def test_what_ended_meanwhile_is_not_beaten_for() -> None:
    beats, held, late = Heartbeats(), threading.Event(), []
    begun = threading.Event()

    def hold() -> None:
        begun.set()
        held.wait(5)

    with beats.kept("job_held", hold, 0.05):
        with beats.kept("job_late", lambda: late.append(1), 0.05):
            assert begun.wait(5)
        held.set()
        time.sleep(0.1)
    assert late == []


def test_the_thread_ends_when_there_is_nothing_to_do_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    beats = Heartbeats()
    for _ in range(2):
        seen: list[int] = []
        with beats.kept("job_a", lambda: seen.append(1), 0.01):  # noqa: B023
            until(lambda: seen)  # noqa: B023
        until(lambda: beats._wakes is None)
