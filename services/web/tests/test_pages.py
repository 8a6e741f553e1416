"""The pages: what they show, to whom, and that nothing foreign gets in."""

from __future__ import annotations

import html
import json
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

import reel_web
from reel_shared import jobs
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXPLAIN_PICTURE,
    KINDS,
    TRAIN_MODEL,
    CollectPicturesRequest,
    ExplainPictureRequest,
    ExplainPictureResult,
    Explanation,
    StoredFile,
    TrainModelRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, JobEvent, ModelAlias, TrainedModel, utcnow
from reel_shared.errors import BadPicture, StorageUnavailable
from reel_shared.security import create_key, revoke_key
from reel_shared.web import sessions
from reel_shared.web.app import create_app
from reel_web.pages import router
from reel_web.result_files import WORDS

ROOT = Path(reel_web.__file__).parent
HTML = {"Accept": "text/html"}


@pytest.fixture
def client(reel_database):
    reel_database.configure(web__secret="a secret that only this test knows")
    with TestClient(create_app("pages", [router]), headers=HTML, follow_redirects=False) as made:
        yield made


def key(*scopes):
    with transaction() as session:
        row, token = create_key(session, "test", scopes)
        return row.id, token


@pytest.fixture
def reader(client, sign_in):
    """Signed in with a key that reads."""
    sign_in(client, "read")
    return client


def submit(count=1, label="kite-weather", owner="", kind=COLLECT_PICTURES):
    request = CollectPicturesRequest(label=label, query="a query")
    with transaction() as session:
        return [jobs.submit(session, kind, request, owner=owner).id for _ in range(count)]


def activate(**card):
    with transaction() as session:
        job = jobs.submit(session, TRAIN_MODEL, TrainModelRequest(dataset_version_id="dsv_1"))
        version = DatasetVersion(
            id="dsv_1",
            dataset="default",
            manifest={},
            manifest_sha256="0" * 64,
            classes=[],
            counts={},
            certificate={},
            job_id=job.id,
        )
        session.add(version)
        session.flush()
        session.add(
            TrainedModel(
                id="mdl_1",
                dataset_version_id="dsv_1",
                architecture="efficientnet_lite0",
                recipe="demo",
                card={"classes": ["kite-weather", "<b>harbor"], "size": 128, **card},
                files={},
                metrics={"all": {"accuracy": 0.9637, "images": 412}},
                job_id=job.id,
            )
        )
        session.flush()
        session.add(ModelAlias(name="active", model_id="mdl_1"))


# --- the demo page ----------------------------------------------------------------------------------------


def test_without_a_model_the_page_says_what_to_do(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "make demo" in page.text
    assert "try.js" not in page.text
    assert client.get("/index.json").json()["model"] is None


def test_with_a_model_it_says_what_the_model_knows(client):
    activate()
    page = client.get("/")
    assert "Kite weather" in page.text
    assert "96.4 %" in page.text
    assert "&lt;b&gt;harbor" in page.text
    assert "<b>harbor" not in page.text
    twin = client.get("/", headers={"Accept": "application/json"}).json()
    assert twin["model"]["classes"] == ["kite-weather", "<b>harbor"]
    assert twin["model"]["accuracy"] == 0.9637


def test_an_accuracy_that_proves_nothing_is_not_shown(client):
    activate(held_out=False)
    assert "right on" not in client.get("/").text


def test_a_closed_demo_shows_the_command_and_loads_no_script(client, reel_database):
    activate()
    reel_database.configure(web__public_demo="false")
    page = client.get("/").text
    assert "data-binary" in page
    assert "<script" not in page


# --- what browsers may load -------------------------------------------------------------------------------


def test_pages_allow_own_files_and_pictures_of_the_storage_only(client, reel_database):
    reel_database.configure(s3__public_endpoint="files.example.org", s3__secure="true")
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "img-src 'self' blob: https://files.example.org;" in policy
    assert "unsafe" not in policy


def test_templates_have_no_inline_script_style_or_foreign_address():
    for template in (ROOT / "templates").iterdir():
        text = template.read_text()
        assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", text), template.name
        assert all(re.search(r"\ssrc=", tag) for tag in re.findall(r"<script[^>]*>", text)), template.name
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text), template.name


def test_all_that_a_visitor_loads_is_small(client):
    activate()
    page = client.get("/").text
    loaded = [client.get(address) for address in re.findall(r'"(/static/[^"]+)"', page)]
    assert (
        len(page) + sum(len(answer.content) for answer in loaded) < 70_000
    )  # 100 kB with six small examples
    for script in (ROOT / "static").glob("*.js"):
        assert len(script.read_text().splitlines()) < 150, script.name


def test_static_files_are_kept_for_ever_by_version_and_nothing_else_is_served(client):
    activate()
    addresses = re.findall(r'"(/static/[^"]+)"', client.get("/").text)
    assert len(addresses) == 6
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    assert "immutable" not in client.get("/static/style.css?v=old").headers["Cache-Control"]
    assert client.get("/static/..%2frendering.py").status_code == 404
    assert client.get("/static/__init__.py").status_code == 404


# --- signing in -------------------------------------------------------------------------------------------


def test_nobody_sees_jobs_without_signing_in(client):
    [job_id] = submit()
    answer = client.get(f"/jobs/{job_id}?a=b")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/sign-in?next=/jobs/{job_id}%3Fa%3Db")
    assert client.get("/jobs.json").status_code == 401
    assert client.get("/jobs.json").json()["type"] == "urn:reelsight:problem:unauthorized"


def test_a_key_becomes_a_guarded_cookie(client):
    answer = client.post("/sign-in", data={"key": f" {key('read')[1]} ", "next": "/jobs?state=failed"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs?state=failed")
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert client.get("/jobs").status_code == 200
    client.post("/sign-out")
    assert client.get("/jobs").status_code == 303


def test_over_https_the_cookie_stays_there(client):
    client.base_url = "https://testserver"
    answer = client.post("/sign-in", data={"key": key("read")[1]})
    assert "secure" in answer.headers["Set-Cookie"].lower()


@pytest.mark.parametrize("wrong", ["", "reel_nonsense", "reel_000000000000_" + "a" * 43])
def test_a_wrong_key_shows_the_form_again_with_the_reason(client, wrong):
    answer = client.post("/sign-in", data={"key": wrong})
    assert answer.status_code == 401
    assert "The API key is not valid" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_a_key_that_may_only_use_the_demo_does_not_open_the_jobs(client):
    assert client.post("/sign-in", data={"key": key("demo")[1]}).status_code == 403


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\nb"])
def test_signing_in_never_leads_to_another_site(client, elsewhere):
    answer = client.post("/sign-in", data={"key": key("read")[1], "next": elsewhere})
    assert answer.headers["Location"] == "/jobs"


def test_another_sites_form_signs_nobody_in_or_out(reader):
    foreign = {**HTML, "Sec-Fetch-Site": "cross-site"}
    assert reader.post("/sign-in", data={"key": key("read")[1]}, headers=foreign).status_code == 403
    assert reader.post("/sign-out", headers=foreign).status_code == 403
    assert reader.get("/jobs").status_code == 200


def test_a_revoked_key_ends_its_sessions(client):
    key_id, token = key("read")
    client.post("/sign-in", data={"key": token})
    assert client.get("/jobs").status_code == 200
    with transaction() as session:
        revoke_key(session, key_id)
    assert client.get("/jobs").status_code == 303


def test_a_forged_or_old_cookie_counts_for_nothing(client, reel_database, monkeypatch):
    token = key("read")[1]
    client.cookies.set(sessions.COOKIE, "ImtleV8xIg.aaaa.bbbb")
    assert client.get("/jobs").status_code == 303
    client.cookies.clear()
    client.post("/sign-in", data={"key": token})
    reel_database.configure(web__secret="another secret")
    assert client.get("/jobs").status_code == 303
    client.cookies.clear()
    client.post("/sign-in", data={"key": token})
    monkeypatch.setattr(sessions, "LIFETIME_SECONDS", -1)
    assert client.get("/jobs").status_code == 303


def test_without_a_secret_sign_in_is_off_and_says_how_to_turn_it_on(client, reel_database):
    reel_database.configure(web__secret="")
    assert "REEL_WEB__SECRET" in client.get("/sign-in").text
    answer = client.post("/sign-in", data={"key": key("read")[1]})
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


# --- jobs -------------------------------------------------------------------------------------------------


def test_an_empty_list_says_how_to_begin(reader):
    assert f"{str(reader.base_url).rstrip('/')}/v1/movies</code>" in reader.get("/jobs").text
    assert "No job is like that" in reader.get("/jobs?state=failed").text


def test_cards_count_what_waits_runs_and_failed(reader):
    ids = submit(5)
    with transaction() as session:
        jobs.claim(session, ids[0])
        jobs.fail(session, jobs.claim(session, ids[1]), BadPicture("no"))
        jobs.cancel(session, ids[2])
    card = next(card for card in reader.get("/jobs.json").json()["queues"] if card["name"] == "ingest")
    assert (card["queued"], card["running"], card["failed"]) == (2, 1, 1)


def test_pages_follow_one_another_without_gap_or_repetition_while_jobs_arrive(reader):
    before = submit(60)
    seen, cursor = [], ""
    while cursor is not None:
        page = reader.get(
            f"/jobs.json?queue=ingest&cursor={cursor}" if cursor else "/jobs.json?queue=ingest"
        ).json()
        seen += [job["id"] for job in page["data"]]
        cursor = page["next_cursor"]
        submit(1)
    assert sorted(seen) == sorted(before)
    assert "Older" in reader.get("/jobs").text


def test_filters_narrow_the_list_and_wrong_ones_are_refused(reader):
    ids = submit(3)
    with transaction() as session:
        jobs.cancel(session, ids[1])
    listed = reader.get("/jobs.json?state=canceled").json()["data"]
    assert [job["id"] for job in listed] == [ids[1]]
    assert reader.get("/jobs.json?queue=trainer").json()["data"] == []
    for wrong in ("state=lost", "queue=kitchen", "cursor=nonsense"):
        assert 400 <= reader.get(f"/jobs?{wrong}").status_code < 500


def test_a_kind_narrows_the_list_and_is_refused_when_there_is_none(reader):
    submit(2)
    assert len(reader.get(f"/jobs.json?kind={COLLECT_PICTURES.name}").json()["data"]) == 2
    assert reader.get("/jobs.json?queue=ingest&kind=ingest.extract_frames").json()["data"] == []
    assert reader.get("/jobs?kind=ingest.lost").status_code == 422
    assert "kind=ingest.extract_frames" in reader.get("/jobs?queue=ingest").text


def test_parts_that_ended_are_not_counted_beside_their_job(reader):
    [job_id] = submit()
    with transaction() as session:
        for part, state in enumerate(("succeeded", "failed", "queued")):
            row = jobs.submit(session, COLLECT_PICTURES, CollectPicturesRequest(label="kite", query="q"))
            row.parent_id, row.part, row.state = job_id, part, state
    card = next(card for card in reader.get("/jobs.json").json()["queues"] if card["name"] == "ingest")
    assert (card["queued"], card["running"], card["failed"]) == (2, 0, 0)


def test_a_job_is_canceled_or_tried_again_by_whoever_may_submit(client):
    client.post("/sign-in", data={"key": key("read", "submit")[1]})
    [job_id] = submit()
    page = client.get(f"/jobs/{job_id}").text
    assert f'data-path="/v1/jobs/{job_id}/cancel"' in page
    assert "/replay" not in page
    with transaction() as session:
        jobs.cancel(session, job_id)
    page = client.get(f"/jobs/{job_id}").text
    assert f'data-path="/v1/jobs/{job_id}/replay"' in page
    assert "/cancel&#34;" not in page
    client.post("/sign-in", data={"key": key("read")[1]})
    assert 'class="change"' not in client.get(f"/jobs/{job_id}").text


def test_a_job_is_asked_for_again_from_a_terminal_by_what_stands_on_its_page(reader):
    [job_id] = submit(label="it-s")
    found = html.unescape(reader.get(f"/jobs/{job_id}").text)
    command = re.search(r"curl -X POST (\S+) .*?-d ('[^\n]*')", found, re.DOTALL)
    assert command[1].endswith("/v1/web-collections")
    [body] = shlex.split(command[2])
    assert json.loads(body)["label"] == "it-s"


def test_a_key_without_read_sees_its_own_jobs_only(client):
    key_id, token = key("submit")
    [mine], [foreign] = submit(owner=key_id), submit(owner="key_other")
    client.post("/sign-in", data={"key": token})
    page = client.get("/jobs.json").json()
    assert [job["id"] for job in page["data"]] == [mine]
    assert sum(card["queued"] for card in page["queues"]) == 1
    assert client.get(f"/jobs/{mine}").status_code == 200
    assert client.get(f"/jobs/{foreign}").status_code == 404


def test_a_jobs_page_tells_its_story(reader):
    [job_id] = submit(label="kite-weather")
    with transaction() as session:
        jobs.fail(session, jobs.claim(session, job_id), StorageUnavailable("Object storage does not answer."))
    with transaction() as session:
        jobs.get(session, job_id).not_before = utcnow() - timedelta(seconds=1)
    with transaction() as session:
        lease = jobs.claim(session, job_id)
        jobs.metric(session, lease, {"stage": "s1", "epoch": 2, "accuracy": 0.91236})
        session.add(JobEvent(job_id=job_id, type="curve", data={"stage": "s1", "points": [{"step": 1}]}))
        jobs.progress(session, lease, 3, 12, unit="pictures")
    page = reader.get(f"/jobs/{job_id}").text
    assert "points" not in page
    for words in (
        "Collect pictures",
        "Will be tried again in",
        "Object storage does not answer.",
        "Attempt 2",
    ):
        assert words in page
    assert "Stage s1, epoch 2" in page
    assert "accuracy 0.9124" in page
    assert '<progress value="3" max="12"' in page
    with transaction() as session:
        jobs.fail(session, lease, BadPicture("<script>alert(1)</script>"))
    page = reader.get(f"/jobs/{job_id}").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    twin = reader.get(f"/jobs/{job_id}.json").json()
    assert twin["job"]["state"] == "failed"
    assert [event["title"] for event in twin["events"]][-1] == "Failed"


def test_a_results_pictures_are_shown_by_their_links(reader):
    with transaction() as session:
        job_id = jobs.submit(session, EXPLAIN_PICTURE, ExplainPictureRequest(key="uploads/x.png")).id
        lease = jobs.claim(session, job_id)
        file = StoredFile(key="explanations/x.png", media_type="image/png", size=2048, sha256="0" * 64)
        shown = Explanation(label="kite-weather", probability=0.9, gradcam=file)
        result = ExplainPictureResult(model="mdl_1", predictions=[], picture=file, explanations=[shown])
        jobs.succeed(session, lease, jobs.Outcome(result))
    files = reader.get(f"/jobs/{job_id}.json").json()["files"]
    assert [file["name"] for file in files] == ["Picture", "Heat map, Kite weather"]
    page = reader.get(f"/jobs/{job_id}").text
    assert page.count("<img src=") == 2
    assert "2 kB" in page


def test_every_file_of_a_result_has_words_for_people():
    """Whatever a kind of job stores, its name on the page is not that of a field."""
    for kind in KINDS.values():
        for name in fields_of_files(kind.result):
            assert name in WORDS, f"{kind.name}: {name}"


def fields_of_files(model):
    for name, field in model.model_fields.items():
        for one in leaves(field.annotation):
            if one is StoredFile and get_origin(field.annotation) is not dict:
                yield name
            elif isinstance(one, type) and issubclass(one, BaseModel) and one is not StoredFile:
                yield from fields_of_files(one)


def leaves(annotation):
    inner = get_args(annotation)
    return [leaf for one in inner for leaf in leaves(one)] if inner else [annotation]


def test_every_page_has_a_json_twin():
    paths = {route.path for route in every(router) if "GET" in route.methods}
    files = {"/static/{name}", "/favicon.ico", "/examples/{image_id}", "/pictures/{image_id}/thumbnail"}
    pages = {path for path in paths - files if not path.endswith(".json")}
    assert len(pages) > 15
    assert {"/index.json" if path == "/" else f"{path}.json" for path in pages} == paths - pages - files


def every(routes):
    """Every route of a router and of those in it."""
    for route in routes.routes:
        inner = getattr(route, "original_router", None)
        yield from [route] if inner is None else every(inner)


def test_what_does_not_exist_is_a_page_for_people_and_a_problem_for_programs(reader):
    page = reader.get("/jobs/job_none")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "There is no job job_none" in page.text
    assert reader.get("/jobs/job_none.json").headers["content-type"] == "application/problem+json"
