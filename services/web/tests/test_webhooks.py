"""Webhooks by the API and on the settings pages: whose they are, what is shown once, what was told."""

from __future__ import annotations

import json

import pytest
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared.contracts import COLLECT_PICTURES, CollectPicturesRequest
from reel_shared.db.engine import transaction
from reel_shared.db.models import WebhookDelivery, WebhookEndpoint
from reel_shared.security import create_key
from reel_shared.web.app import create_app
from reel_web.api import router

URL = "https://hooks.example.org/reelsight"
ENDPOINTS = "/v1/webhook-endpoints"


class Caller:
    def __init__(self, client, *scopes):
        with transaction() as session:
            row, token = create_key(session, "test", scopes)
            self.id = row.id
        self.headers = {"Authorization": f"Bearer {token}"}
        self._client = client

    def __call__(self, method, path, headers=None, **more):
        return self._client.request(method, path, headers=self.headers | (headers or {}), **more)


@pytest.fixture
def caller(reel_database):
    with TestClient(create_app("web", [router])) as client:
        yield lambda *scopes: Caller(client, *scopes)


def canceled_job(owner):
    with transaction() as session:
        request = CollectPicturesRequest(label="kite", query="q")
        job_id = jobs.submit(session, COLLECT_PICTURES, request, owner=owner).id
        jobs.cancel(session, job_id)
        return job_id


def test_the_secret_is_shown_once_and_signs(caller):
    me = caller("submit")
    key = {"Idempotency-Key": "one"}
    made = me("POST", ENDPOINTS, headers=key, json={"url": URL, "description": "the team"})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    endpoint = made.json()
    assert Webhook(endpoint["secret"])
    assert (endpoint["owner"], endpoint["events"][0], endpoint["all_jobs"]) == (me.id, "job.succeeded", False)
    again = me("POST", ENDPOINTS, headers=key, json={"url": URL, "description": "the team"})
    assert (again.status_code, endpoint["id"] in again.json()["detail"]) == (409, True)
    shown = me("GET", ENDPOINTS).text + me("GET", f"{ENDPOINTS}/{endpoint['id']}").text + again.text
    assert endpoint["secret"] not in shown
    assert endpoint["secret"].removeprefix("whsec_") not in shown


def test_a_new_secret_is_shown_once_and_a_repetition_makes_no_other(caller):
    me, other = caller("submit"), caller("submit")
    endpoint = me("POST", ENDPOINTS, json={"url": URL}).json()
    path = f"{ENDPOINTS}/{endpoint['id']}/roll-secret"
    assert endpoint["old_secrets_until"] is None
    rolled = me("POST", path, headers={"Idempotency-Key": "roll"}, json={"overlap_hours": 1})
    assert (rolled.status_code, rolled.headers["cache-control"]) == (200, "no-store")
    assert Webhook(rolled.json()["secret"])
    assert rolled.json()["secret"] != endpoint["secret"]
    assert rolled.json()["old_secrets_until"] > endpoint["created_at"]
    again = me("POST", path, headers={"Idempotency-Key": "roll"}, json={"overlap_hours": 1})
    assert again.status_code == 409
    shown = me("GET", f"{ENDPOINTS}/{endpoint['id']}").text + again.text
    for secret in (endpoint["secret"], rolled.json()["secret"]):
        assert secret.removeprefix("whsec_") not in shown
    assert me("POST", path, json={"overlap_hours": 0}).json()["old_secrets_until"] is None
    assert me("POST", path, json={"overlap_hours": -1}).status_code == 422
    assert other("POST", path, json={}).status_code == 404


def test_an_address_of_the_inside_is_refused_with_its_reason(caller):
    refused = caller("submit")("POST", ENDPOINTS, json={"url": "https://169.254.169.254/latest"})
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert refused.json()["reason"] == "private-address"
    assert caller("submit")("POST", ENDPOINTS, json={"url": URL, "events": ["job.eaten"]}).status_code == 422
    assert caller("submit")("POST", ENDPOINTS, json={"url": URL, "all_jobs": True}).status_code == 403
    assert caller("demo")("POST", ENDPOINTS, json={"url": URL}).status_code == 403


def test_each_key_has_its_own_and_an_administrator_all(caller):
    me, other, admin = caller("submit"), caller("read", "submit"), caller("admin")
    endpoint = me("POST", ENDPOINTS, json={"url": URL}).json()["id"]
    job_id = canceled_job(me.id)
    [told] = me("GET", f"{ENDPOINTS}/{endpoint}/deliveries").json()["data"]
    assert (told["event"], told["job_id"], told["state"], told["tries"]) == (
        "job.canceled",
        job_id,
        "pending",
        [],
    )
    assert me("GET", f"{ENDPOINTS}/{endpoint}/deliveries?state=failed").json()["data"] == []
    for path in (f"GET {ENDPOINTS}/{endpoint}", f"GET {ENDPOINTS}/{endpoint}/deliveries",
                 f"POST {ENDPOINTS}/{endpoint}/ping", f"POST {ENDPOINTS}/{endpoint}/enable",
                 f"POST {ENDPOINTS}/{endpoint}/disable", f"DELETE {ENDPOINTS}/{endpoint}",
                 f"POST /v1/webhook-deliveries/{told['id']}/redeliver"):  # fmt: skip
        assert other(*path.split()).status_code == 404, path
    assert other("GET", ENDPOINTS).json()["data"] == []
    assert [row["id"] for row in admin("GET", ENDPOINTS).json()["data"]] == [endpoint]
    assert admin("POST", f"{ENDPOINTS}/{endpoint}/disable").json()["disabled_reason"] == "By hand."
    assert me("POST", f"{ENDPOINTS}/{endpoint}/ping").status_code == 409
    assert me("POST", f"{ENDPOINTS}/{endpoint}/enable").json()["disabled_at"] is None
    assert me("POST", f"{ENDPOINTS}/{endpoint}/ping").json()["event"] == "ping"
    assert me("POST", f"/v1/webhook-deliveries/{told['id']}/redeliver").status_code == 409
    assert admin("DELETE", f"{ENDPOINTS}/{endpoint}").status_code == 204
    with transaction() as session:
        assert session.query(WebhookEndpoint).count() == session.query(WebhookDelivery).count() == 0


def test_the_pages_show_endpoints_and_what_each_answered(browse):
    page = browse("submit")
    mine = page.get("/settings.json").json()["me"]
    with transaction() as session:
        session.add(
            WebhookEndpoint(
                id="whe_1", owner=mine, url="https://hooks.example.org/<b>", events=["job.failed"], kinds=[],
                all_jobs=False, secret="whsec_c2VjcmV0",
            )
        )  # fmt: skip
        tries = [{"at": "2026-01-31T12:00:00Z", "status": 503, "seconds": 0.25, "error": "no"}]
        session.add(
            WebhookDelivery(
                id="whd_1", endpoint_id="whe_1", event="ping", state="failed", attempt=1, tries=tries
            )
        )
    settings = page.get("/settings").text
    assert 'href="/settings/webhooks/whe_1"' in settings
    assert 'data-path="/v1/webhook-endpoints"' in settings
    shown = page.get("/settings/webhooks/whe_1").text
    assert "https://hooks.example.org/&lt;b&gt;" in shown
    assert 'data-path="/v1/webhook-deliveries/whd_1/redeliver"' in shown
    assert 'data-path="/v1/webhook-endpoints/whe_1/roll-secret"' in shown
    assert "503" in shown
    found = page.get("/settings/webhooks/whe_1.json?state=failed").json()
    assert found["data"][0]["tries"] == tries
    assert "c2VjcmV0" not in settings + shown + json.dumps(found)
    other = browse("read", "submit")
    assert other.get("/settings/webhooks/whe_1").status_code == 404
    assert "whe_1" not in other.get("/settings").text
