"""Owns the life of one embedded server: ports, secret, start, readiness, stop, kill, restart on the same data."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from reel_shared.embedded.ports import HOST, free_port, is_free
from reel_shared.embedded.process import Process, birth, end_leftover, spawn


class ServerFailed(RuntimeError):
    """An embedded server did not start; the message ends with what it logged last."""


class Server(ABC):
    """A server whose whole state lies in ``directory``: data, ports and secret survive a restart.

    ``with Valkey(path) as server: …`` starts it and stops it. One process at a time may own a directory.
    """

    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]
    grace: ClassVar[float] = 3.0
    start_seconds: ClassVar[float] = 20.0
    stop_seconds: ClassVar[float] = 10.0
    mode: ClassVar[int] = 0o700

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.host = HOST
        self.ports: dict[str, int] = {}
        self.secret = ""
        self._process: Process | None = None
        self._lock: int | None = None

    # --- what a server of a kind says about itself --------------------------------------------------------

    @abstractmethod
    def _command(self) -> list[str]:
        """Write configuration files and return the command line; no secret belongs on it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server does its work now; False while it starts."""

    def _choose_port(self, _name: str, taken: set[int]) -> int:
        return free_port(taken=taken)

    def _user(self) -> tuple[int, int] | None:
        return None

    def _sweep(self) -> None:  # noqa: B027 - most leave nothing
        """Remove what a killed server leaves in the way of its next start."""

    # --- life ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """The server's process id; the last one when it has ended."""
        if self._process is None:
            raise ServerFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def start(self) -> None:
        """Start and wait until the server answers, on the ports of the last time where they are free."""
        if self.running:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(self.mode)
        self._take_lock()
        end_leftover(self._pidfile)
        self._sweep()
        for _ in range(3):
            self._settle()
            self._process = spawn(self._command(), log=self.log, grace=self.grace, user=self._user())
            self._pidfile.write_text(f"{self._process.pid} {birth(self._process.pid)}")
            if self._wait(self._process):
                return
            time.sleep(0.2)
        last_words = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        raise ServerFailed(f"{self.name} does not start; its log {self.log} ends with:\n{last_words}")

    def stop(self) -> None:
        """Stop cleanly. The directory stays owned, so that ``start`` continues on it."""
        if self._process is not None:
            self._stop(self._process)
            self._pidfile.unlink(missing_ok=True)
            self._sweep()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()

    def recall(self) -> bool:
        """Take ports and secret from the folder of a server that another process runs; whether it answers."""
        path = self.directory / "server.json"
        if not path.exists():
            return False
        state = json.loads(path.read_text())
        self.ports, self.secret = state["ports"], state["secret"]
        return self._answers()

    def restart(self) -> None:
        """Stop unless it is down already, and start on the same ports and data."""
        if self.running:
            self.stop()
        self.start()

    def close(self) -> None:
        """Stop and give the directory back."""
        self.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _stop(self, process: Process) -> None:
        process.stop(seconds=self.stop_seconds)

    # --- parts --------------------------------------------------------------------------------------------

    @property
    def _pidfile(self) -> Path:
        return self.directory / "server.pid"

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ServerFailed(f"{self.directory} is in use by another run; stop that one first") from None
        self._lock = lock

    def _settle(self) -> None:
        """Read ports and secret of the last time, replace ports that somebody else has taken, write them down."""
        path = self.directory / "server.json"
        state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.secret = state.get("secret") or secrets.token_urlsafe(24)
        ports: dict[str, int] = {}
        for name in self.port_names:
            kept = state.get("ports", {}).get(name)
            fits = kept is not None and is_free(kept)
            ports[name] = kept if fits else self._choose_port(name, set(ports.values()))
        self.ports = ports
        write_secretly(path, json.dumps({"ports": ports, "secret": self.secret}))

    def _wait(self, process: Process) -> bool:
        """Wait for an answer; False when the server ended first, as when a port was taken meanwhile."""
        deadline = time.monotonic() + self.start_seconds
        while process.running and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.02)
        process.kill()
        return False


def write_secretly(path: Path, text: str) -> None:
    """Replace a file that only its owner may read."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
