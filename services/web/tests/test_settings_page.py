"""The settings page: who sees keys, how each part does, how long what is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared.contracts import COLLECT_PICTURES, CollectPicturesRequest
from reel_shared.db.engine import transaction
from reel_shared.db.models import Lock, utcnow
from reel_shared.security import create_key, revoke_key
from reel_shared.web.app import create_app
from reel_web.pages import router

HTML = {"Accept": "text/html"}


@pytest.fixture
def client(reel_database):
    reel_database.configure(web__secret="a secret that only this test knows", s3__patience_seconds=0.1)
    with TestClient(create_app("pages", [router]), headers=HTML, follow_redirects=False) as made:
        yield made


def test_settings_are_for_people_who_sign_in(client, sign_in):
    assert client.get("/settings").status_code == 303


def test_an_administrator_sees_every_key_and_no_secret(client, sign_in):
    mine = sign_in(client, "admin", name="of <b>this</b> test")
    with transaction() as session:
        gone, _ = create_key(session, "gone", ["read"])
        old, _ = create_key(session, "old", ["read"], utcnow() + timedelta(seconds=60))
        old.expires_at = utcnow() - timedelta(seconds=1)
        revoke_key(session, gone.id)
    found = client.get("/settings.json").json()
    assert {key["name"]: key["state"] for key in found["keys"]} == {
        "of <b>this</b> test": "valid",
        "old": "expired",
        "gone": "revoked",
    }
    assert found["me"] == mine
    page = client.get("/settings").text
    assert f'data-method="DELETE" data-path="/v1/keys/{mine}"' in page
    assert page.count('data-method="DELETE"') == 1
    assert "secret_sha256" not in page
    assert "<b>this</b>" not in page


def test_others_see_no_keys(client, sign_in):
    sign_in(client, "read", "submit")
    assert client.get("/settings.json").json()["keys"] is None
    page = client.get("/settings").text
    assert "/v1/keys" not in page
    assert "scope <code>admin</code>" in page


def test_each_part_is_asked_and_one_that_is_away_is_told(client, sign_in):
    sign_in(client, "read")
    found = client.get("/settings.json").json()
    assert (found["health"]["database"]["ok"], found["health"]["redis"]["ok"]) == (True, False)
    assert found["reaper"] == {"ok": False}
    with transaction() as session:
        session.add(Lock(name="reaper", owner="wrk_1", until=utcnow() + timedelta(seconds=30)))
    assert client.get("/settings.json").json()["reaper"] == {"ok": True}


def test_queues_tell_what_waits_and_what_ended(client, sign_in):
    sign_in(client, "read")
    with transaction() as session:
        ids = [
            jobs.submit(session, COLLECT_PICTURES, CollectPicturesRequest(label="kite", query="q")).id
            for _ in range(3)
        ]
        jobs.get(session, ids[0]).created_at = utcnow() - timedelta(seconds=100)
        jobs.claim(session, ids[1])
        done = jobs.get(session, ids[2])
        done.state, done.finished_at = "succeeded", utcnow()
    ingest = next(row for row in client.get("/settings.json").json()["queues"] if row["name"] == "ingest")
    assert (ingest["waiting"], ingest["running"]) == (1, 1)
    assert 100 <= ingest["waiting_seconds"] < 160
    assert ingest["last_success"] is not None


def test_retention_is_told_as_it_is_set(client, reel_database, sign_in):
    sign_in(client, "read")
    reel_database.configure(web__idempotency_hours=7)
    assert "7 hours" in client.get("/settings").text
