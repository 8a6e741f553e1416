"""The supervisor really starts, restarts and stops processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from reel_shared.contracts import QUEUES
from reel_shared.embedded import Seaweed
from reelsight.platform.stack import Stack, programs
from reelsight.platform.supervisor import RESTART_SECONDS, Program, Supervisor

SLEEPER = "import time\nwhile True: time.sleep(0.05)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open('{ready}', 'w').close()
while True: time.sleep(0.05)
"""


def until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def supervise(tmp_path: Path):
    made: list[Supervisor] = []
    said: list[str] = []

    def start(*programs: Program) -> tuple[Supervisor, list[str]]:
        supervisor = Supervisor(list(programs), env=dict(os.environ), logs=tmp_path, say=said.append)
        made.append(supervisor)
        supervisor.start()
        return supervisor, said

    yield start
    for supervisor in made:
        supervisor.stop()


def test_a_killed_process_is_started_again_and_it_is_said(supervise) -> None:
    supervisor, said = supervise(Program("sleeper", [sys.executable, "-c", SLEEPER]))
    first = supervisor.pids()["sleeper"]
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive(first))

    def back() -> bool:
        supervisor.watch()
        return supervisor.pids().get("sleeper", first) != first

    until(back)
    assert alive(supervisor.pids()["sleeper"])
    assert "sleeper" in said[0]
    assert "137" in said[0]


def test_a_process_that_dies_at_once_is_started_less_and_less_often(supervise) -> None:
    supervisor, said = supervise(Program("broken", [sys.executable, "-c", "raise SystemExit(3)"]))

    def died_three_times() -> bool:
        supervisor.watch()
        return len(said) >= 3

    until(died_three_times)
    waits = [float(line.split("again in ")[1].split(" s")[0]) for line in said[:3]]
    assert waits == list(RESTART_SECONDS[:3])


def test_stop_kills_what_ignores_it_after_its_grace(supervise, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    stubborn = Program("stubborn", [sys.executable, "-c", STUBBORN.format(ready=ready)], stop_seconds=0.5)
    supervisor, _ = supervise(stubborn)
    pid = supervisor.pids()["stubborn"]
    until(ready.exists)
    started = time.monotonic()
    supervisor.stop()
    assert not alive(pid)
    assert 0.4 < time.monotonic() - started < 5


def test_each_process_serves_its_metrics_on_a_port_of_its_own(tmp_path: Path) -> None:
    s3 = Seaweed(tmp_path)
    ports = {
        program.name: program.env.get("REEL_METRICS_PORT") for program in programs(s3, metrics_port=9100)
    }
    assert ports.pop("api") is None
    assert sorted(ports.values()) == [str(9100 + offset) for offset in range(6)]
    assert {program.env.get("REEL_METRICS_PORT") for program in programs(s3)} == {None, "0"}


def test_each_process_is_a_user_of_its_own_at_the_storage(tmp_path: Path) -> None:
    users = {program.name: program.env["REEL_S3__ACCESS_KEY"] for program in programs(Seaweed(tmp_path))}
    assert users.pop("api") == "reelsight-api"
    assert users.pop("reaper") == "reelsight-web"
    assert users == {f"{queue}-worker": f"reelsight-{queue}" for queue in QUEUES}


def test_what_a_program_has_of_its_own_is_in_its_environment(supervise, tmp_path: Path) -> None:
    write = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['ONLY_MINE'])"
    supervise(Program("writer", [sys.executable, "-c", write], env={"ONLY_MINE": "yes"}))
    until(lambda: (tmp_path / "seen").exists() and (tmp_path / "seen").read_text() == "yes")


def test_the_watch_goes_on_after_something_cannot_be_started(tmp_path: Path) -> None:
    said: list[str] = []
    stack = Stack(tmp_path, say=said.append)
    looks = iter([OSError("No room for another process."), None])

    class Broken(Supervisor):
        def watch(self) -> None:
            if (problem := next(looks, None)) is not None:
                raise problem
            stack._closing.set()

    stack.supervisor = Broken([], env={}, logs=tmp_path, say=said.append)
    stack._revive = lambda server: None
    stack._watch()
    assert said == ["No room for another process. Trying again."]
