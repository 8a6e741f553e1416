"""``reel webhooks`` before an API that notes what it is asked."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from reel_shared.client import Client
from reelsight.commands import console
from reelsight.main import app

ENDPOINT = {
    "id": "whe_1", "owner": "key_1", "url": "https://hooks.test/[x]", "description": "", "all_jobs": False,
    "events": ["job.failed"], "kinds": [], "failing_since": None, "disabled_at": "2026-01-31T12:00:00Z",
    "disabled_reason": "It answered 410.", "old_secrets_until": "2026-02-01T12:00:00Z",
    "created_at": "2026-01-31T12:00:00Z",
}  # fmt: skip
DELIVERY = {
    "id": "whd_1", "endpoint_id": "whe_1", "event": "job.failed", "job_id": "job_1", "state": "pending",
    "tries": [{"at": "2026-01-31T12:00:00Z", "status": 503, "seconds": 0.1, "error": "no"}],
    "next_at": "2026-01-31T12:00:05Z", "created_at": "2026-01-31T12:00:00Z", "delivered_at": None,
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    seen: list[tuple[str, str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        seen.append((request.method, path, json.loads(request.content) if request.content else None))
        if request.method == "DELETE":
            return httpx.Response(204)
        told = path.endswith(("deliveries", "ping", "redeliver"))
        row = DELIVERY if told else {**ENDPOINT, "secret": "whsec_abc"}
        return httpx.Response(
            200, json={"data": [row], "next_cursor": None} if request.method == "GET" else row
        )

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(console, "client", lambda **_: Client("http://reel.test", transport=transport))
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    return seen


def words(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["webhooks", *arguments])
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_an_endpoint_is_made_and_its_secret_printed(asked: list[tuple[str, str, Any]]) -> None:
    added = words(
        "add", "https://hooks.test/", "--event", "job.failed", "--kind", "trainer.train_model", "--all"
    )
    assert "whsec_abc Try it with `reel webhooks ping whe_1`" in added
    sent = {
        "url": "https://hooks.test/",
        "kinds": ["trainer.train_model"],
        "description": "",
        "all_jobs": True,
    }
    assert asked == [("POST", "/v1/webhook-endpoints", {**sent, "events": ["job.failed"]})]


def test_a_new_secret_is_printed_with_the_end_of_the_one_before(asked: list[tuple[str, str, Any]]) -> None:
    rolled = words("roll", "whe_1", "--overlap-hours", "2")
    assert "shown this once: whsec_abc The one before signs too until 2026-02-01T12:00Z." in rolled
    assert asked == [("POST", "/v1/webhook-endpoints/whe_1/roll-secret", {"overlap_hours": 2.0})]


def test_endpoints_and_deliveries_are_listed_and_changed(asked: list[tuple[str, str, Any]]) -> None:
    assert "whe_1 https://hooks.test/[x] failed; all kinds; own jobs disabled: It answered 410." in words(
        "list"
    )
    listed = words("deliveries", "whe_1")
    assert "whd_1 job.failed job_1 pending 1 503 2026-01-31T12:00:05" in listed
    assert json.loads(words("deliveries", "whe_1", "--json")) == [DELIVERY]
    for command, path in {
        "ping whe_1": "/v1/webhook-endpoints/whe_1/ping",
        "enable whe_1": "/v1/webhook-endpoints/whe_1/enable",
        "disable whe_1": "/v1/webhook-endpoints/whe_1/disable",
        "redeliver whd_1": "/v1/webhook-deliveries/whd_1/redeliver",
        "delete whe_1": "/v1/webhook-endpoints/whe_1",
    }.items():
        assert command.split()[1] in words(*command.split())
        assert asked[-1][1] == path
    assert asked[-1][0] == "DELETE"
