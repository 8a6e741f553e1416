"""``reel keys`` before the real API: a key made there opens it, and a revoked one does not."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from reel_shared.client import Client
from reel_shared.db.engine import transaction
from reel_shared.security import create_key
from reel_shared.web.app import create_app
from reel_web.api import router
from reelsight.commands import console
from reelsight.main import app

pytestmark = pytest.mark.servers


@pytest.fixture
def run(reel: object, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    with transaction() as session:
        _, token = create_key(session, "first", ["admin"])
    api = TestClient(create_app("web", [router]))

    def handed_on(asked: httpx.Request) -> httpx.Response:
        told = api.request(asked.method, str(asked.url), content=asked.content, headers=dict(asked.headers))
        return httpx.Response(
            told.status_code, content=told.content, headers={"Content-Type": "application/json"}
        )

    def client(**given: str) -> Client:
        transport = httpx.MockTransport(handed_on)
        return Client("http://testserver", given["token"] or token, transport=transport)

    monkeypatch.setattr(console, "client", client)
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)

    def ran(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["keys", *arguments])

    return ran


def told(result: Result) -> str:
    """What the command printed, without what the API in the same process logs."""
    return "\n".join(line for line in result.stdout.splitlines() if "http.request" not in line)


def test_a_key_is_made_shown_once_listed_and_revoked(run: Callable[..., Result]) -> None:
    made = run("create", "nightly training", "--scope", "read", "--scope", "admin", "--until", "2099-01-31")
    assert made.exit_code == 0, made.output
    token = told(made)
    assert token.startswith("reel_")
    rows = json.loads(told(run("list", "--json", "--token", token)))
    [row] = [row for row in rows if row["name"] == "nightly training"]
    assert (row["scopes"], row["expires_at"][:10]) == (["read", "admin"], "2099-01-31")
    listed = run("list").stdout
    assert "nightly training" in listed
    assert token not in listed
    assert run("revoke", row["id"]).exit_code == 0
    assert "revoked" in run("list").stdout
    assert "key" in str(run("list", "--token", token).exception)
