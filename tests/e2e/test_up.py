"""``reel up`` as its user meets it: it prints an address, Ctrl-C ends everything, a second one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from reel_shared import contracts
from reel_shared.client import Client

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]
Up = Callable[[Path], AbstractContextManager[tuple[subprocess.Popen[str], str]]]
ClientOf = Callable[[Path], Client]


def processes_of(data: Path) -> list[str]:
    """Every process whose environment or command line names the data folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            command = " ".join(process.cmdline())
            if process.pid != os.getpid() and str(data) in f"{command} {process.environ()}":
                found.append(command)
    return found


def until_none(data: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while left := processes_of(data):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_ctrl_c_ends_every_process_and_a_second_up_has_the_same_data(
    up: Up, client_of: ClientOf, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with up(data) as (process, url):
        assert httpx.get(f"{url}/readyz", timeout=10).json()["status"] == "ready"
        assert "<html" in httpx.get(url, timeout=10).text
        # A private address is refused and counted; the job succeeds without any network.
        request = contracts.CollectPicturesRequest(
            label="a", provider="urls", urls=["http://127.0.0.1:1/a.png"]
        )
        first = client_of(data).wait(client_of(data).collect_pictures(request)["id"], timeout=60)
        assert first["state"] == "succeeded"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    until_none(data, 5)
    with up(data) as (_, again):
        assert client_of(data).job(first["id"])["state"] == "succeeded"
        assert again == url, "the address stays"
    until_none(data, 5)


def test_nothing_outlives_a_killed_reel_up(up: Up, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data) as (process, _):
        assert len(processes_of(data)) > 8
        process.kill()
        process.wait(10)
    until_none(data, 60)
