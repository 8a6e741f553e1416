"""The platform as `reel up` starts it, for the tests of this folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from reel_shared.client import Client
from reel_shared.embedded.ports import free_port

REEL = [sys.executable, "-m", "reelsight.main"]


@pytest.fixture(scope="session")
def up() -> Callable[[Path], AbstractContextManager[tuple[subprocess.Popen[str], str]]]:
    """Start a platform with this data folder: ``with up(data) as (process, url)``."""
    return _up


@pytest.fixture(scope="session")
def client_of() -> Callable[[Path], Client]:
    """Make a client of the platform that has this data folder."""
    return _client_of


@pytest.fixture(scope="session")
def command() -> Callable[..., str]:
    """Run ``reel`` in a folder and return what it prints, which must be its last word: it succeeds."""

    def run(*arguments: str, folder: Path) -> str:
        done = subprocess.run([*REEL, *arguments], cwd=folder, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@contextmanager
def _up(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    # Tests that run at the same time would both find the standard port free.
    environment = {**os.environ, "REEL_WEB__PORT": str(free_port())}
    process = subprocess.Popen(
        [*REEL, "up", "--data", str(data)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield process, found[0]
                return
        pytest.fail(f"reel up ended with {process.wait()}: {said}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _client_of(data: Path) -> Client:
    access = json.loads((data / "client.json").read_text())
    return Client(access["url"], access["token"])
