"""Calls of a page's script: `/v1` knows who is signed in, and refuses what another site's page asks for."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from reel_shared.db.engine import transaction
from reel_shared.security import create_key, revoke_key
from reel_shared.web import sessions
from reel_shared.web.app import create_app
from reel_web.api import router as api
from reel_web.pages import router as pages

NEW_KEY = {"name": "made on a page", "scopes": ["read"]}


@pytest.fixture
def client(reel_database):
    reel_database.configure(web__secret="a secret that only this test knows")
    with TestClient(create_app("web", [api, pages]), follow_redirects=False) as made:
        yield made


def sign_in(client, *scopes):
    with transaction() as session:
        row, token = create_key(session, "test", scopes)
        key_id = row.id
    assert client.post("/sign-in", data={"key": token}).status_code == 303
    return key_id


def test_a_cookie_opens_the_api_to_what_its_key_may_do(client):
    assert client.get("/v1/keys").status_code == 401
    sign_in(client, "admin")
    assert client.post("/v1/keys", json=NEW_KEY).status_code == 201
    assert len(client.get("/v1/keys").json()["data"]) == 2
    sign_in(client, "read")
    assert client.get("/v1/jobs").status_code == 200
    assert client.post("/v1/keys", json=NEW_KEY).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_site_changes_nothing_through_a_signed_in_browser(client, headers):
    sign_in(client, "admin")
    assert client.post("/v1/keys", json=NEW_KEY, headers=headers).status_code == 403
    assert len(client.get("/v1/keys").json()["data"]) == 1


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver"}])
def test_our_own_pages_may(client, headers):
    sign_in(client, "admin")
    assert client.post("/v1/keys", json=NEW_KEY, headers=headers).status_code == 201


def test_a_key_in_the_header_counts_before_the_cookie(client):
    sign_in(client, "admin")
    assert client.get("/v1/keys", headers={"Authorization": "Bearer reel_wrong"}).status_code == 401
    assert client.get("/v1/keys", headers={"Authorization": "Basic abc"}).status_code == 401


def test_a_revoked_keys_cookie_and_a_forged_one_open_nothing(client):
    key_id = sign_in(client, "admin")
    with transaction() as session:
        revoke_key(session, key_id)
    assert client.get("/v1/keys").status_code == 401
    client.cookies.set(sessions.COOKIE, "ImtleV8xIg.aaaa.bbbb")
    assert client.get("/v1/keys").status_code == 401


def test_who_is_signed_in_may_still_do_what_every_visitor_may(client, reel_database):
    sign_in(client, "read")
    picture = b"no picture"
    assert client.post("/v1/uploads", content=picture).status_code == 415
    reel_database.configure(web__public_demo="false")
    assert client.post("/v1/uploads", content=picture).status_code == 403
