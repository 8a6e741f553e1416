"""Keeps the platform's processes running: starts them, starts dead ones again, stops all. Used by ``reel up``."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reel_shared.embedded.process import Process, spawn

RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0
"""A process that ran this long is taken for healthy: its next death is its first again."""


@dataclass(slots=True)
class Program:
    """One process of the platform and how to run it."""

    name: str
    command: list[str]
    stop_seconds: float = 30.0
    env: dict[str, str] = field(default_factory=dict)
    """What this process has in its environment besides what all have."""
    process: Process | None = None
    started: float = 0.0
    deaths: int = 0
    due: float = field(default=0.0)


class Supervisor:
    """Owns the processes; whatever happens to this process, they end with it (see ``spawn``)."""

    def __init__(
        self, programs: list[Program], *, env: Mapping[str, str], logs: Path, say: Callable[[str], None]
    ) -> None:
        self.programs = programs
        self._env = dict(env)
        self._logs = logs
        self._say = say

    def start(self) -> None:
        for program in self.programs:
            self._start(program)

    def watch(self) -> None:
        """Look once at every process and start again those that died, later each time they die soon.

        Raises:
            OSError: one of them cannot be started; the next look tries again.
        """
        now = time.monotonic()
        for program in self.programs:
            if program.process is not None and not program.process.running:
                self._note_death(program, now)
            if program.process is None and now >= program.due:
                self._start(program)

    def stop(self) -> None:
        """Ask all to end at once, then wait for each; kill those that take longer than they may."""
        running = [program for program in self.programs if program.process is not None]
        for program in running:
            assert program.process is not None
            program.process.send(signal.SIGTERM)
        deadline = time.monotonic()
        for program in running:
            assert program.process is not None
            left = max(0.1, deadline + program.stop_seconds - time.monotonic())
            # Signal 0: SIGTERM has been sent, and a second one would make Celery drop its job.
            program.process.stop(number=0, seconds=left)
            program.process = None

    def pids(self) -> dict[str, int]:
        return {p.name: p.process.pid for p in self.programs if p.process is not None}

    def _start(self, program: Program) -> None:
        program.process = spawn(
            program.command,
            log=self._logs / f"{program.name}.log",
            env={**self._env, **program.env},
            grace=program.stop_seconds,
        )
        program.started = time.monotonic()

    def _note_death(self, program: Program, now: float) -> None:
        assert program.process is not None
        status = program.process.poll()
        program.deaths = 1 if now - program.started > STEADY_SECONDS else program.deaths + 1
        wait = RESTART_SECONDS[min(program.deaths, len(RESTART_SECONDS)) - 1]
        program.due = now + wait
        program.process = None
        self._say(
            f"{program.name} ended with status {status}; starting it again in {wait:g} s "
            f"(log: {self._logs / program.name}.log)"
        )
