"""Owns child processes that cannot outlive their owner; called by the embedded servers and by ``reel up``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_GUARD = Path(__file__).with_name("guard.py")


class Process:
    """A running command under its guard. ``pid`` is the command's own process, head of its group."""

    def __init__(self, guard: subprocess.Popen[bytes], pid: int, log: Path) -> None:
        self._guard = guard
        self.pid = pid
        self.log = log

    @property
    def running(self) -> bool:
        return self.poll() is None

    def poll(self) -> int | None:
        """Return the exit status (128 + signal when one ended it), None while the command runs."""
        return self._guard.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raises ``subprocess.TimeoutExpired``."""
        return self._guard.wait(timeout)

    def send(self, number: int) -> None:
        """Send a signal to the command alone; nothing happens when it has ended."""
        if self.running:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def stop(self, *, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        """Ask the command to end, kill it and its children after ``seconds``, return its exit status."""
        self.send(number)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self._close()

    def kill(self) -> int:
        """End the command and its children with SIGKILL."""
        self.send(signal.SIGKILL)
        try:
            return self.wait(10)
        finally:
            self._close()

    def _close(self) -> None:
        if self._guard.stdin is not None:
            self._guard.stdin.close()


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = 5.0,
    user: tuple[int, int] | None = None,
) -> Process:
    """Start a command that ends with this process, even when this process is killed with SIGKILL.

    Args:
        log: file that receives the command's stdout and stderr.
        grace: seconds between SIGTERM and SIGKILL once this process is gone.
        user: user and group id to run as; only root may say so.
    """
    options = ["--grace", str(grace)]
    if user is not None:
        options += ["--uid", str(user[0]), "--gid", str(user[1])]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), *options, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    assert guard.stdout is not None
    with guard.stdout as pipe:
        line = pipe.readline()
    if not line:
        guard.wait(10)
        raise OSError(f"{command[0]} could not be started; see {log}")
    return Process(guard, int(line), log)


def end_leftover(pidfile: Path, *, seconds: float = 5.0) -> bool:
    """End the process that a pidfile of an earlier run names, if it is still that process; True if it was."""
    try:
        pid, _, born = pidfile.read_text().partition(" ")
        leftover = int(pid)
    except (OSError, ValueError):
        return False
    ended = bool(born) and birth(leftover) == born.strip()
    if ended:
        os.kill(leftover, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while birth(leftover) == born.strip() and time.monotonic() < deadline:
            time.sleep(0.05)
        if birth(leftover) == born.strip():
            os.kill(leftover, signal.SIGKILL)
    pidfile.unlink(missing_ok=True)
    return ended


def birth(pid: int) -> str:
    """Return when a process started, in ticks since boot: with the id it names one process for ever."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
