"""API keys: only hashes are kept, and who may do what over HTTP, from the first use to the revocation."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from reel_shared import security
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import ApiKey, Job, KeyChange, utcnow
from reel_shared.errors import NotFound, Unauthorized, Unprocessable
from reel_shared.security import DEMO, Principal, adopt_key, authenticate, create_key, recognise, revoke_key
from reel_shared.testing.stack import Reel

pytestmark = pytest.mark.usefixtures("reel_database")
POST = {"json": {"dataset": "d"}}


def new_key(*scopes: str, lifetime: timedelta | None = None) -> tuple[str, str]:
    with transaction() as session:
        key, token = create_key(
            session, "test", scopes or ["read"], utcnow() + lifetime if lifetime else None
        )
        return key.id, token


def who(token: str) -> Principal:
    with reading() as session:
        return authenticate(session, token)


@pytest.fixture
def http(app: FastAPI) -> TestClient:
    return TestClient(app)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_key_names_its_principal_and_its_secret_is_nowhere(databases: str) -> None:
    key_id, token = new_key("submit", "read")
    assert who(token) == Principal(key_id, frozenset({"read", "submit"}))
    _, prefix, secret = token.split("_", 2)
    with reading() as session:
        row = session.execute(sa.select(*ApiKey.__table__.columns)).one()
    stored = " ".join(str(value) for value in row)
    assert prefix in stored
    assert secret not in stored


def test_keys_differ() -> None:
    assert len({new_key()[1] for _ in range(50)}) == 50


def test_what_is_no_key_is_refused_in_the_same_words() -> None:
    _, token = new_key()
    wrong_secret = token[:-1] + ("A" if token[-1] != "A" else "B")
    wrong_prefix = f"reel_{'0' * 12}{token[17:]}"
    for bad in (
        "",
        "x",
        token[:-1],
        token + "A",
        token.upper(),
        f" {token}",
        wrong_secret,
        wrong_prefix,
        "é" * 60,
    ):
        with pytest.raises(Unauthorized) as refusal:
            who(bad)
        assert "not valid" in str(refusal.value)


def test_expiry_and_revocation() -> None:
    _, brief = new_key(lifetime=timedelta(hours=1))
    assert who(brief)
    with transaction() as session:
        session.execute(sa.update(ApiKey).values(expires_at=utcnow() - timedelta(seconds=1)))
    with pytest.raises(Unauthorized, match="expired"):
        who(brief)
    key_id, token = new_key()
    for _ in range(2):
        with transaction() as session:
            revoke_key(session, key_id)
    with pytest.raises(Unauthorized, match="revoked"):
        who(token)
    with pytest.raises(NotFound), transaction() as session:
        revoke_key(session, "key_0")


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "write"]])
def test_scopes_are_checked_when_a_key_is_made(scopes: list[str]) -> None:
    with pytest.raises(Unprocessable, match="scopes"), transaction() as session:
        create_key(session, "test", scopes)


def test_a_key_cannot_be_born_expired() -> None:
    with pytest.raises(Unprocessable, match="expires_at"):
        new_key(lifetime=timedelta(seconds=-1))


def test_what_principals_may_do_and_see() -> None:
    submitter, reader = Principal("key_1", frozenset({"submit"})), Principal("key_2", frozenset({"read"}))
    admin = Principal("key_3", frozenset({"admin"}))
    assert submitter.may("read", "submit")
    assert not submitter.may("read")
    assert admin.may("submit")
    assert [person.sees("key_1") for person in (submitter, reader, admin, DEMO)] == [True, True, True, False]


def test_revocation_works_at_once_here_and_within_seconds_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    key_id, token = new_key()
    assert recognise(token).id == key_id
    # Another process revokes: this one still remembers the key, but not for longer than it promises.
    with transaction() as session:
        session.execute(sa.update(ApiKey).values(revoked_at=utcnow()))
    assert recognise(token).id == key_id
    later = security.time.monotonic() + security.CACHE_SECONDS
    monkeypatch.setattr(security.time, "monotonic", lambda: later)
    with pytest.raises(Unauthorized):
        recognise(token)
    monkeypatch.undo()
    # This process revokes.
    key_id, token = new_key()
    recognise(token)
    with transaction() as session:
        revoke_key(session, key_id)
    with pytest.raises(Unauthorized):
        recognise(token)


def test_the_memory_of_keys_stays_bounded() -> None:
    for number in range(security._CACHE_SIZE + 10):
        security.remembered.put(f"token {number}", DEMO)
    assert len(security.remembered._known) <= security._CACHE_SIZE


# --- over HTTP --------------------------------------------------------------------------------------------


def test_401_403_and_what_is_allowed(http: TestClient) -> None:
    _, reader = new_key("read")
    _, submitter = new_key("submit")
    _, admin = new_key("admin")
    missing = http.get("/v1/jobs")
    assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")
    assert http.get("/v1/jobs", headers=bearer("reel_no")).status_code == 401
    assert http.get("/v1/jobs", headers={"Authorization": f"Basic {reader}"}).status_code == 401
    refused = http.post("/v1/variants", **POST, headers=bearer(reader))
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:reelsight:problem:forbidden")
    assert "'submit'" in refused.json()["detail"]
    assert http.post("/v1/variants", **POST, headers=bearer(submitter)).status_code == 202
    assert http.post("/v1/variants", **POST, headers=bearer(admin)).status_code == 202
    for path in ("/v1/keys", "/v1/jobs"):
        assert http.get(path, headers=bearer(admin)).status_code == 200
    assert http.get("/v1/keys", headers=bearer(reader)).status_code == 403


def test_who_is_asked_before_what(http: TestClient) -> None:
    assert http.post("/v1/keys", json={"nonsense": 1}).status_code == 401


def test_the_demo_lets_visitors_in_only_where_it_is_on(http: TestClient, reel_database: Reel) -> None:
    assert http.post("/v1/variants", **POST).status_code == 202
    with reading() as session:
        assert session.scalars(sa.select(Job.owner)).all() == ["demo"]
    assert http.get("/v1/jobs").status_code == 401
    assert http.post("/v1/variants", **POST, headers=bearer("reel_wrong")).status_code == 401
    reel_database.configure(web__public_demo=False)
    assert http.post("/v1/variants", **POST).status_code == 401


def test_another_sites_page_cannot_use_a_visitors_browser(http: TestClient) -> None:
    assert http.post("/v1/variants", **POST, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert http.post("/v1/variants", **POST, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 202


def test_a_revoked_key_is_refused_at_once(http: TestClient) -> None:
    _, admin = new_key("admin")
    key_id, token = new_key("read")
    assert http.get("/v1/jobs", headers=bearer(token)).status_code == 200
    assert http.delete(f"/v1/keys/{key_id}", headers=bearer(admin)).status_code == 204
    refused = http.get("/v1/jobs", headers=bearer(token))
    assert (refused.status_code, "revoked" in refused.json()["detail"]) == (401, True)
    assert http.delete("/v1/keys/key_0", headers=bearer(admin)).status_code == 404


def test_keys_over_http_show_their_token_once(http: TestClient) -> None:
    _, admin = new_key("admin")
    headers = {**bearer(admin), "Idempotency-Key": "k-1"}
    body = {"name": "nightly", "scopes": ["submit"]}
    made = http.post("/v1/keys", json=body, headers=headers)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert who(made.json()["token"]).scopes == {"submit"}
    again = http.post("/v1/keys", json=body, headers=headers)
    assert (again.status_code, made.json()["id"] in again.json()["detail"]) == (409, True)
    listed = http.get("/v1/keys", headers=bearer(admin))
    assert made.json()["token"].rpartition("_")[2] not in listed.text
    assert [key["name"] for key in listed.json()["data"]] == ["nightly", "test"]
    naive = http.post("/v1/keys", json={**body, "expires_at": "2030-01-01T00:00:00"}, headers=bearer(admin))
    assert naive.json()["errors"][0]["pointer"] == "#/expires_at"


def test_what_is_done_to_keys_is_kept_with_who_did_it(http: TestClient) -> None:
    admin_id, admin = new_key("admin")
    made = http.post("/v1/keys", json={"name": "n", "scopes": ["read"]}, headers=bearer(admin)).json()["id"]
    for _ in range(2):  # the second time changes nothing
        assert http.delete(f"/v1/keys/{made}", headers=bearer(admin)).status_code == 204
    with transaction() as session:
        assert adopt_key(session, f"reel_{'0' * 12}_{'a' * 43}", "first", ["submit"])
    changes = http.get("/v1/key-changes", headers=bearer(admin)).json()["data"]
    told = [(row["action"], row["by"], row["scopes"]) for row in reversed(changes)]
    assert told == [
        ("made", "", ["admin"]),
        ("made", admin_id, ["read"]),
        ("revoked", admin_id, ["read"]),
        ("made", "", ["submit"]),
    ]
    assert [row["key_id"] for row in changes[1:3]] == [made, made]
    _, reader = new_key("read")
    assert http.get("/v1/key-changes", headers=bearer(reader)).status_code == 403


def test_a_key_that_was_not_made_leaves_no_trace() -> None:
    def fail() -> None:
        with transaction() as session:
            create_key(session, "test", ["read"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(KeyChange)) == 0
