"""Starts the processes of a fault test: forked from a server that has everything imported, so in 50 ms, not 1.5 s.

Each is a real process with its own memory and signals, and ends with the test run even when that is killed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

import chaos_clocks

PRELOADED = [
    "reel_shared.outbox",
    "reel_shared.runner",
    "reel_shared.worker",
    "celery.bin.worker",
    "celery.apps.worker",
    "celery.concurrency.solo",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
]
_PR_SET_PDEATHSIG = 1
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(PRELOADED)


class Actor:
    """A running program. ``log`` receives its stdout and stderr."""

    def __init__(self, program: str, arguments: list[str], *, env: dict[str, str], log: Path) -> None:
        self.log = log
        log.touch()
        self._process = _server.Process(target=_run, args=(program, arguments, env, log), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def exit_status(self) -> int | None:
        """Return the exit status, None while it runs; ended by a signal: its number, negated."""
        return self._process.exitcode

    def send(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    def stop(self, seconds: float = 15) -> int:
        """Ask it to go and return its exit status."""
        self.send(signal.SIGTERM)
        self._process.join(seconds)
        status = self.exit_status()
        assert status is not None, f"still there {seconds} s after SIGTERM\n{self.log.read_text()[-2000:]}"
        return status

    def kill(self) -> None:
        self._process.kill()
        self._process.join(10)
        chaos_clocks.forget(self.pid)


def _run(program: str, arguments: list[str], env: dict[str, str], log: Path) -> None:
    """Become the program: its environment, its output, its arguments."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.environ.clear()
    os.environ.update(env)
    sink = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(sink, stream)
    if "LD_PRELOAD" in env:  # a library that only a program's start can bring in
        start = [program] if program.endswith(".py") else ["-m", program]
        os.execve(sys.executable, [sys.executable, *start, *arguments], env)
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=False)
