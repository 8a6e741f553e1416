"""Ctrl-C while a command waits, on a real terminal and without one, before an API that notes what it is asked."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from reel_shared.client import Client
from reelsight.commands import console, doctor
from reelsight.main import app

SECONDS = 30
PROGRESS = {"done": 1, "total": 9, "unit": "pictures", "message": "at work"}


class _Api(BaseHTTPRequestHandler):
    """One job, a training, that runs for ever, and is canceling once it was asked to stop."""

    def do_GET(self) -> None:
        self.server.asked.append(("GET", self.path))  # type: ignore[attr-defined]
        self._answer("running")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(("POST", self.path))  # type: ignore[attr-defined]
        self._answer("canceling" if self.path.endswith("/cancel") else "queued")

    def _answer(self, state: str) -> None:
        job = {"id": "job_1", "state": state, "progress": PROGRESS, "error": None}
        body = json.dumps(job | {"stages": [], "now": None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The test says nothing."""


@pytest.fixture
def api() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def reel(api: ThreadingHTTPServer, *words: str) -> list[str]:
    url = f"http://127.0.0.1:{api.server_address[1]}"
    return [sys.executable, "-m", "reelsight.main", *words, "--url", url, "--token", "x"]


def asked(api: ThreadingHTTPServer, what: tuple[str, str]) -> bool:
    return what in api.asked  # type: ignore[attr-defined]


def happens(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """A shell starts what runs in its background deaf to Ctrl-C, these tests too, and their children inherit it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm"}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.said = ""

    def reads(self, words: str) -> None:
        """Read on until these words were written."""
        end = time.monotonic() + SECONDS
        while words not in self.said:
            assert time.monotonic() < end, self.said
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self._master, 4096).decode(errors="replace")
                except OSError:  # it has ended, and all was read
                    pytest.fail(f"{words!r} was not said: {self.said}")

    def types(self, words: str) -> None:
        os.write(self._master, words.encode())

    def ends(self) -> int:
        code = self.process.wait(SECONDS)
        os.close(self._master)
        return code


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["jobs", "watch", "job_1"], "c"),
        (["augment", "run"], "d"),
        (["trainings", "watch", "job_1"], "\x03"),
    ],
    ids=["cancel", "detach", "Ctrl-C again"],
)
def test_ctrl_c_on_a_terminal_asks_what_shall_become_of_the_job(
    api: ThreadingHTTPServer, tmp_path: Path, command: list[str], answer: str
) -> None:
    terminal = Terminal(reel(api, *command), tmp_path)
    happens(lambda: asked(api, ("GET", "/v1/jobs/job_1")))
    terminal.process.send_signal(signal.SIGINT)
    terminal.reads("Detach, so that job_1 can go on, or cancel?")
    if answer == "\x03":
        terminal.process.send_signal(signal.SIGINT)
    else:
        terminal.types(f"{answer}\n")
    watch = "reel trainings watch job_1" if command[0] == "trainings" else "reel jobs watch job_1"
    terminal.reads("job_1 is canceling" if answer == "c" else watch)
    assert terminal.ends() == 130
    assert asked(api, ("POST", "/v1/jobs/job_1/cancel")) is (answer == "c")


def test_ctrl_c_where_nobody_can_be_asked_detaches(api: ThreadingHTTPServer, tmp_path: Path) -> None:
    waiting = subprocess.Popen(
        reel(api, "jobs", "watch", "job_1"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    happens(lambda: asked(api, ("GET", "/v1/jobs/job_1")))
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=SECONDS)
    assert waiting.returncode == 130
    assert "job_1 goes on. Watch with `reel jobs watch job_1`." in said
    assert not asked(api, ("POST", "/v1/jobs/job_1/cancel"))


def test_variants_are_asked_for_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result = {
        "sources": 8, "made": {"grayscale": 8, "noise": 7}, "already": 3, "gray_frames": 0, "refused": {"damaged": 1},
        "skipped_low_contrast": {"noise": 1},
        "shares": {"mulan": {"before": 0.07, "after": 0.4, "short": 2}},
    }  # fmt: skip
    sent: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append((request.url.path, json.loads(request.content)))
        job = {"id": "job_1", "state": "succeeded", "progress": PROGRESS, "error": None, "result": result}
        return httpx.Response(202, json=job)

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(console, "client", lambda **_: Client("http://reel.test", transport=transport))
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    words = [
        "augment",
        "run",
        "--dataset",
        "films",
        "--class",
        "mulan",
        "--variant",
        "noise",
        "--set",
        "quality=80",
    ]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    body = {"dataset": "films", "label": "mulan", "variants": ["noise"], "quality": 80, "metadata": {}}
    assert sent == [("/v1/variants", body)]
    text = " ".join(shown.stdout.split())
    assert (
        "grayscale 8 noise 7 1 8 pictures looked at, 3 variants were there already; refused: 1 damaged."
        in text
    )
    assert "mulan: web share 7%, now 40%, 2 short" in text
    wrong = CliRunner().invoke(app, ["augment", "run", "--variant", "sepia"])
    assert (wrong.exit_code, len(sent)) == (2, 1)


def test_doctor_names_paused_queues_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"name": "ingest", "queued": 0, "paused": False},
        {
            "name": "trainer",
            "queued": 3,
            "paused": True,
            "paused_at": "2026-01-31T12:00:00Z",
            "reason": "a [new] GPU",
        },
    ]
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": rows, "next_cursor": None}))
    [found] = doctor._queues(Client("http://reel.test", transport=transport))
    assert (found.part, found.good, found.remedy) == ("queue trainer", False, "reel queues resume trainer")
    assert found.found == "paused since 2026-01-31T12:00:00: a [new] GPU; 3 jobs wait"
    rows.pop()
    assert [each.good for each in doctor._queues(Client("http://reel.test", transport=transport))] == [True]
    with console.out.capture() as shown:
        doctor.show([found])
    assert "a [new] GPU" in " ".join(shown.get().split())
