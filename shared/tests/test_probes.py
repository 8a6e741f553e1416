"""A process that is no API tells by HTTP whether it lives and whether what it needs answers."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from reel_shared.embedded.ports import free_port
from reel_shared.probes import look, serve_probes
from reel_shared.readiness import Check
from reel_shared.testing.stack import Reel

pytestmark = pytest.mark.servers


def ask(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def reaper(reel: Reel) -> Iterator[int]:
    """The port of a real reaper's probes."""
    port = free_port()
    env = {**reel.env, "REEL_METRICS_PORT": str(port)}
    with subprocess.Popen([sys.executable, "-m", "reel_shared.outbox"], env=env) as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    assert ask(port, "/healthz") == (200, {"status": "ok"})
                    break
                except urllib.error.URLError:
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def test_the_reaper_is_ready_while_what_it_needs_answers(reaper: int, reel: Reel) -> None:
    status, told = ask(reaper, "/readyz")
    assert (status, told["status"]) == (200, "ready")
    assert set(told["checks"]) == {"database", "redis", "storage"}
    assert reel.valkey is not None
    reel.valkey.kill()
    status, told = ask(reaper, "/readyz")
    assert status == 503
    assert [name for name, part in told["checks"].items() if not part["ok"]] == ["redis"]
    assert ask(reaper, "/healthz")[0] == 200, "a restart would not bring Redis back"
    reel.valkey.start()
    assert ask(reaper, "/readyz")[0] == 200
    assert ask(reaper, "/elsewhere")[0] == 404


def test_callers_that_leave_early_are_no_news(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("REEL_METRICS_PORT", str(port))
    serve_probes()
    for lines in (0, 1) * 10:
        caller = socket.create_connection(("127.0.0.1", port))
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        caller.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        if lines:
            assert b" 200 " in caller.recv(30)
        caller.close()
    assert ask(port, "/healthz")[0] == 200
    for thread in threading.enumerate():
        if "process_request" in thread.name:
            thread.join(5)
    assert capfd.readouterr().err == ""


def test_a_check_that_hangs_is_not_waited_for() -> None:
    started = time.monotonic()
    found = look([Check("slow", lambda: time.sleep(2)), Check("quick", lambda: {"model": "mdl_1"})], 0.3)
    assert time.monotonic() - started < 1.5
    assert found["slow"] == {"ok": False, "seconds": 0.3, "detail": "No answer within 0.3 s."}
    assert (found["quick"]["ok"], found["quick"]["model"]) == (True, "mdl_1")
