"""``reel queues`` before an API that notes what it is asked."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from reel_shared.client import Client
from reelsight.commands import console
from reelsight.main import app

ROW = {
    "name": "trainer", "queued": 3, "running": 1, "failed": 0, "oldest_queued_at": "2026-01-31T12:00:00Z",
    "oldest_queued_seconds": 150.0, "paused": True, "paused_at": "2026-01-31T12:00:00Z", "paused_by": "key_1",
    "reason": "a [new] GPU",
}  # fmt: skip
OTHER = ROW | {"name": "ingest", "queued": 0, "oldest_queued_seconds": None, "paused": False}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    seen: list[tuple[str, str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content) if request.content else None
        seen.append((request.method, request.url.path, sent))
        page = {"data": [OTHER, ROW], "next_cursor": None}
        return httpx.Response(200, json=page if request.method == "GET" else ROW)

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(console, "client", lambda **_: Client("http://reel.test", transport=transport))
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    return seen


def words(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["queues", *arguments])
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_queues_are_listed_paused_and_resumed(asked: list[tuple[str, str, Any]]) -> None:
    listed = words("list")
    assert "ingest 0 1 0 trainer 3 2 min 1 0 paused since 2026-01-31T12:00:00: a [new] GPU" in listed
    assert json.loads(words("list", "--json"))[1] == ROW
    assert "reel queues resume trainer" in words("pause", "trainer", "--reason", "a [new] GPU")
    assert "3 queued, 1 running" in words("resume", "trainer")
    assert asked[2:] == [
        ("POST", "/v1/queues/trainer/pause", {"reason": "a [new] GPU"}),
        ("POST", "/v1/queues/trainer/resume", None),
    ]
