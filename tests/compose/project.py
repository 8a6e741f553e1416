"""Owns one docker compose project of the test's own: its secrets, its port, its containers; gone when it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from reel_shared.client import Client
from reel_shared.embedded.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "reelsight-test"
READY_SECONDS = 300.0
DOCKER_TRIES = 5


def compose_command() -> list[str]:
    """Return Compose v2 where docker has it, else docker-compose."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise SystemExit("Neither `docker compose` nor docker-compose is installed.")


class Project:
    """``with Project(folder) as project: project.up()``. ``COMPOSE_FILE`` may name other files, as ever."""

    def __init__(self, folder: Path, *, keep: bool) -> None:
        self.secrets = folder / "secrets"
        self.keep = keep
        port = free_port()
        self.url = f"http://localhost:{port}"
        self._command = compose_command()
        self._env = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": NAME,
            "REEL_SECRETS": str(self.secrets),
            "REEL_HTTP": f"127.0.0.1:{port}",
            "REEL_HTTPS": f"127.0.0.1:{free_port()}",
            "REEL_PUBLIC_ADDRESS": f"localhost:{port}",
        }

    def __enter__(self) -> Self:
        subprocess.run(["sh", ROOT / "compose/secrets.sh", self.secrets], check=True, capture_output=True)
        self("down", "--volumes", "--remove-orphans")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self("logs", "--tail", "40", quiet=False)
            self("ps", quiet=False)
        if not self.keep:
            self("down", "--volumes", "--remove-orphans")

    def __call__(self, *arguments: str, quiet: bool = True) -> str:
        """Run one compose command in the repository; what it prints is returned, or shown where it fails."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._env,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}\n{done.stdout or ''}")
        return done.stdout or ""

    def up(self, **scales: int) -> None:
        """Start everything, or bring services to another number of replicas, and wait until all are healthy."""
        wanted = [
            part
            for name, count in scales.items()
            for part in ("--scale", f"{name.replace('_', '-')}={count}")
        ]
        self("up", "--detach", "--no-build", *wanted)
        self.wait_healthy()

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            states = [each["State"] for each in self.containers()]
            waiting = [
                s
                for s in states
                if s["Running"] and s.get("Health", {}).get("Status", "healthy") != "healthy"
            ]
            failed = [s for s in states if not s["Running"] and s["ExitCode"]]
            if not waiting and not failed:
                return
            time.sleep(1)
        raise SystemExit(f"Not everything is healthy after {READY_SECONDS:g} s:\n{self('ps')}")

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What docker says of the containers, of one service or of all."""
        ids = self("ps", "--quiet", *([service] if service else [])).split()
        if not ids:
            return []
        found: list[dict[str, Any]] = json.loads(_docker("inspect", *ids))
        return found

    def memory(self, *services: str) -> dict[str, int]:
        """Bytes that the processes of each service's first container have for themselves, without what files back."""
        return {service: _own_bytes(self.containers(service)[0]["State"]["Pid"]) for service in services}

    def inside(self, service: str, *command: str, text: str) -> str:
        """Run a command in a service's container with ``text`` as its input and return what it prints."""
        container = self.containers(service)[0]["Id"]
        whole = ["docker", "exec", "--interactive", container, *command]
        return subprocess.run(whole, input=text, capture_output=True, text=True, check=True).stdout

    def kill_one(self, service: str) -> str:
        """End one container of a service by SIGKILL and return its id; ``revive`` starts it again."""
        container: str = self.containers(service)[-1]["Id"]
        _docker("kill", container)
        return container

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """Stop every process of one container of a service, as SIGSTOP would, and let them go on at the end."""
        container = self.containers(service)[-1]["Id"]
        _docker("pause", container)
        try:
            yield
        finally:
            _docker("unpause", container)

    @contextmanager
    def cut_off(self, service: str, *, network: str) -> Iterator[None]:
        """Take one container of a service off a network; it and all of its processes live on."""
        ends = [f"{NAME}_{network}", self.containers(service)[-1]["Id"]]
        _docker("network", "disconnect", *ends)
        try:
            yield
        finally:
            _docker("network", "connect", *ends)

    def run(self, service: str, *command: str, text: str) -> str:
        """Run a command in a new container of a service with ``text`` as its input and return what it prints."""
        whole = [*self._command, "run", "--rm", "-T", "--no-deps", service, *command]
        done = subprocess.run(
            whole, cwd=ROOT, env=self._env, input=text, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(whole)} ended with {done.returncode}\n{done.stderr}")
        return done.stdout

    def revive(self, container: str) -> None:
        _docker("start", container)

    def client(self) -> Client:
        return Client(self.url, self.token, timeout=120)

    @property
    def token(self) -> str:
        return (self.secrets / "api_key").read_text()


def _docker(*arguments: str) -> str:
    """Run docker, again for a while where it refuses: a pause was refused once, as a health check had just begun."""
    for _ in range(DOCKER_TRIES):
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
        if not done.returncode:
            return done.stdout
        time.sleep(1)
    raise SystemExit(f"docker {' '.join(arguments)} ended with {done.returncode}\n{done.stderr}")


def _own_bytes(pid: int) -> int:
    total = 0
    first = psutil.Process(pid)
    for process in [first, *first.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # a health check, at its end
            taken = process.memory_info()
            total += taken.rss - taken.shared
    return total
