"""Queues by the API and by the buttons of the jobs page: who may pause, what is shown and kept."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared.contracts import COLLECT_PICTURES, CollectPicturesRequest
from reel_shared.db.engine import transaction
from reel_shared.security import create_key
from reel_shared.web.app import create_app
from reel_web.api import router


def submit() -> str:
    with transaction() as session:
        return jobs.submit(session, COLLECT_PICTURES, CollectPicturesRequest(label="kite", query="q")).id


@pytest.fixture
def api(reel_database):
    """Ask as the holder of a key with this scope: ``api("admin", "POST", "/v1/…")``."""
    with TestClient(create_app("web", [router])) as client:

        def ask(scope, method, path, **more):
            with transaction() as session:
                _, token = create_key(session, scope, [scope])
            return client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)

        yield ask


def of(answer, queue="ingest"):
    return next(row for row in answer.json()["data"] if row["name"] == queue)


def test_an_administrator_pauses_and_resumes_and_both_are_kept(api):
    submit()
    paused = api("admin", "POST", "/v1/queues/ingest/pause", json={"reason": "a new disk"}).json()
    assert (paused["name"], paused["queued"], paused["paused"], paused["reason"]) == (
        "ingest",
        1,
        True,
        "a new disk",
    )
    assert of(api("read", "GET", "/v1/queues")) | {"oldest_queued_seconds": 0} == paused | {
        "oldest_queued_seconds": 0
    }
    assert of(api("read", "GET", "/v1/queues"), "trainer")["paused"] is False
    resumed = api("admin", "POST", "/v1/queues/ingest/resume").json()
    assert (resumed["paused"], resumed["paused_at"], resumed["oldest_queued_at"] is None) == (
        False,
        None,
        False,
    )
    [kept] = api("read", "GET", "/v1/queue-pauses?queue=ingest").json()["data"]
    assert (kept["by"], kept["reason"], kept["resumed_by"].startswith("key_")) == (
        paused["paused_by"],
        "a new disk",
        True,
    )


def test_who_may_not_and_what_is_no_queue(api):
    for scope in ("read", "submit"):
        for action in ("pause", "resume"):
            refused = api(scope, "POST", f"/v1/queues/ingest/{action}")
            assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    assert api("submit", "GET", "/v1/queues").status_code == 403
    assert "inference" in api("admin", "POST", "/v1/queues/kitchen/pause").json()["detail"]
    assert of(api("read", "GET", "/v1/queues"))["paused"] is False


def test_the_pages_buttons_pause_and_resume_without_a_script(browse):
    page = browse("admin")
    job_id = submit()
    assert 'action="/jobs/queues/ingest/pause"' in page.get("/jobs").text
    done = page.post("/jobs/queues/ingest/pause", data={"reason": "<b>a new disk</b>"})
    assert (done.status_code, done.headers["location"]) == (303, "/jobs")
    card = next(row for row in page.get("/jobs.json").json()["queues"] if row["name"] == "ingest")
    assert (card["paused"], card["paused_by_name"], card["queued"]) == (True, "test", 1)
    shown = page.get("/jobs").text
    assert "&lt;b&gt;a new disk&lt;/b&gt;" in shown
    assert 'action="/jobs/queues/ingest/resume"' in shown
    assert "The queue ingest is paused" in page.get(f"/jobs/{job_id}").text
    assert '<span class="badge">paused</span>' in page.get("/settings").text
    assert page.post("/jobs/queues/ingest/resume").status_code == 303
    assert "is paused" not in page.get(f"/jobs/{job_id}").text


def test_a_form_of_another_site_or_without_the_right_changes_nothing(browse):
    page = browse("admin")
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert page.post("/jobs/queues/ingest/pause", headers=elsewhere).status_code == 403
    origin = {"Origin": "https://elsewhere.example"}
    assert page.post("/jobs/queues/ingest/pause", headers=origin).status_code == 403
    reader = browse("read", "submit")
    assert reader.post("/jobs/queues/ingest/pause").status_code == 403
    assert "/pause" not in reader.get("/jobs").text
    assert not any(row["paused"] for row in reader.get("/jobs.json").json()["queues"])
