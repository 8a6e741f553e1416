"""The demo without a script, its examples, and answers by a link of their own."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared.contracts import (
    EXPLAIN_PICTURE,
    ExplainPictureRequest,
    ExplainPictureResult,
    Explanation,
    StoredFile,
)
from reel_shared.contracts.base import Source
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Image, Job
from reel_shared.model_card import EVALUATION
from reel_shared.security import create_key
from reel_shared.testing.evaluations import Judged, evaluation
from reel_shared.testing.registry import add_model, add_version
from reel_shared.web.app import create_app
from reel_web.pages import router

pytestmark = pytest.mark.servers
HTML = {"Accept": "text/html"}
CLASSES = ["harbor-lights", "kite-weather"]
DRAWN = StoredFile(key="explanations/visitors/x.png", media_type="image/png", size=9, sha256="0" * 64)


@pytest.fixture
def client(reel):
    reel.configure(web__secret="a secret that only this test knows")
    with TestClient(create_app("pages", [router]), headers=HTML, follow_redirects=False) as made:
        yield made


def photo(size=(900, 600)):
    stream = io.BytesIO()
    Pillow.new("RGB", size, (90, 60, 30)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def model(reel):
    """A model that serves, with an example of each class; one of them is taken down."""
    keys = {
        name: reel.storage.put_at(f"images/{name}.jpg", photo(), "image/jpeg").key for name in ("a", "b", "c")
    }
    judged = [
        Judged("img_a", keys["a"], CLASSES[0], CLASSES[0], 0.99),
        Judged("img_c", keys["c"], CLASSES[0], CLASSES[0], 0.6, Source.WEB),
        Judged("img_b", keys["b"], CLASSES[1], CLASSES[1], 0.9),
        Judged("img_wrong", keys["b"], CLASSES[1], CLASSES[0], 0.9, Source.WEB),
    ]
    data = evaluation("mdl_1", CLASSES, judged).model_dump_json().encode()
    stored = reel.storage.put_bytes("models", data, "application/json", ".json")
    card = {
        "id": "mdl_1",
        "architecture": "resnet18",
        "classes": CLASSES,
        "size": 128,
        "recipe": {},
        "not_sure_below": 0.7,
    }
    with transaction() as session:
        add_model(
            session, card, {EVALUATION: stored.model_dump(mode="json", exclude={"url"})}, version_id="dsv_1"
        )
        job = add_version(session, "dsv_1")
        for name, key in keys.items():
            state = {"state": "removed"} if name == "b" else {}
            session.add(
                Image(id=f"img_{name}", dataset="default", label=CLASSES[0], source="web", key=key, sha256=name * 64,
                      media_type="image/jpeg", size=1, width=9, height=6, phash="0" * 16, job_id=job.id, **state)
            )  # fmt: skip


def ask(client, **fields):
    answer = client.post("/answers", **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].removeprefix("/answers/")


def request_of(job_id):
    with reading() as session:
        job = session.get(Job, job_id)
        return {**job.request, "owner": job.owner}


def finish(job_id, *labels, probability=0.9):
    """End an explanation as the explainer would."""
    explained = [Explanation(label=label, probability=0.5, gradcam=DRAWN, guided=DRAWN) for label in labels]
    predictions = [
        {"label": CLASSES[1], "probability": probability},
        {"label": CLASSES[0], "probability": 1 - probability},
    ]
    result = ExplainPictureResult(
        model="mdl_1", predictions=predictions, picture=DRAWN, explanations=explained
    )
    with transaction() as session:
        jobs.succeed(session, jobs.claim(session, job_id), jobs.Outcome(result))


def test_a_picture_sent_by_the_form_becomes_an_answer(client, model, reel):
    job_id = ask(client, files={"file": ("a.jpg", photo(), "image/jpeg")})
    asked = request_of(job_id)
    assert asked["owner"] == "demo"
    assert asked["key"].startswith("uploads/visitors/")
    assert reel.storage.exists(asked["key"])
    waiting = client.get(f"/answers/{job_id}").text
    assert "Looking" in waiting
    assert f'<a class="button" href="/answers/{job_id}">Look again</a>' in waiting
    finish(job_id, CLASSES[1])
    page = client.get(f"/answers/{job_id}").text
    assert "This looks like" in page
    assert "90.0 %" in page
    assert "deleted 24 hours after" in page
    assert page.count('class="stage"') == 3


def test_two_labels_stand_side_by_side(client, model):
    key = request_of(ask(client, files={"file": ("a.jpg", photo(), "image/jpeg")}))["key"]
    job_id = ask(client, data={"key": key, "label": list(reversed(CLASSES))})
    assert request_of(job_id)["labels"] == ["kite-weather", "harbor-lights"]
    finish(job_id, *CLASSES)
    page = client.get(f"/answers/{job_id}").text
    assert page.count("Heat map of what speaks for") == 2


def test_a_link_opens_the_view_that_was_shared(client, model):
    """Each label was explained by a job of its own; the address says which stand together, and drawn how."""
    key = request_of(ask(client, files={"file": ("a.jpg", photo(), "image/jpeg")}))["key"]
    first, second = (ask(client, data={"key": key, "label": label}) for label in CLASSES)
    finish(first, CLASSES[0])
    link = f"/answers/{first}?beside={second}&method=guided"
    assert f'href="{link.replace("&", "&amp;")}">Look again' in client.get(link).text
    finish(second, CLASSES[1])
    page = client.get(link).text
    assert re.findall(r'alt="(\w[\w ]+) of what speaks for ([\w-]+)"', page) == [
        ("Both", one) for one in CLASSES
    ]
    assert '<option value="guided" selected>' in page
    assert page.count(f'<option value="{CLASSES[1]}" selected>') == 1
    twin = client.get(link.replace("?", ".json?")).json()
    assert (twin["method"], [one["label"] for one in twin["answer"]["explanations"]]) == ("guided", CLASSES)
    again = client.post("/answers", data={"key": key, "label": CLASSES, "method": "guided"}).headers[
        "Location"
    ]
    assert again.endswith("?method=guided")
    other = ask(client, files={"file": ("b.jpg", photo((800, 600)), "image/jpeg")})
    assert client.get(f"/answers/{first}?beside={other}").status_code == 404
    assert client.get(f"/answers/{first}?method=paint").status_code == 422


def test_below_the_models_threshold_it_is_not_confident(client, model):
    job_id = ask(client, files={"file": ("a.jpg", photo(), "image/jpeg")})
    finish(job_id, CLASSES[1], probability=0.69)
    page = client.get(f"/answers/{job_id}").text
    assert "Not confident" in page
    assert "Kite weather or Harbor lights?" in page


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"key": "images/a.jpg"}},
        {"data": {"key": "uploads/../secret"}},
        {"data": {"label": "kite-weather"}},
        {"data": {"key": "uploads/visitors/a.jpg", "label": "moon"}},
        {"files": {"file": ("a.txt", b"no picture", "text/plain")}},
        {"data": {"example": "img_wrong"}},
    ],
)
def test_what_names_no_picture_or_label_is_refused(client, model, fields):
    assert 400 <= client.post("/answers", **fields).status_code < 500


def test_another_sites_form_asks_nothing(client, model):
    headers = {**HTML, "Sec-Fetch-Site": "cross-site"}
    sent = client.post("/answers", files={"file": ("a.jpg", photo(), "image/jpeg")}, headers=headers)
    assert sent.status_code == 403


def test_an_answer_of_a_key_is_for_those_who_may_see_its_jobs(client, model, reel):
    with transaction() as session:
        job_id = jobs.submit(
            session, EXPLAIN_PICTURE, ExplainPictureRequest(key="uploads/a.jpg"), owner="key_1"
        ).id
        token = create_key(session, "test", ["read"])[1]
    assert client.get(f"/answers/{job_id}").status_code == 404
    client.post("/sign-in", data={"key": token})
    assert client.get(f"/answers/{job_id}").status_code == 200
    assert client.get("/answers/job_none").status_code == 404


def test_a_closed_demo_is_open_to_those_who_may_submit(client, model, reel):
    reel.configure(web__public_demo="false")
    sent = {"files": {"file": ("a.jpg", photo(), "image/jpeg")}}
    assert client.post("/answers", **sent).headers["Location"].startswith("/sign-in")
    with transaction() as session:
        key, token = create_key(session, "test", ["submit"])
        key_id = key.id
    client.post("/sign-in", data={"key": token})
    assert 'id="drop" data-visitor="no"' in client.get("/").text
    asked = request_of(ask(client, **sent))
    assert asked["owner"] == key_id
    assert not asked["key"].startswith("uploads/visitors/")


def test_examples_are_right_answers_web_pictures_first_and_nothing_else_is_shown(client, model):
    page = client.get("/").text
    assert re.findall(r'name="example" value="(\w+)"', page) == ["img_c"]
    thumb, whole = (client.get(f"/examples/img_c?size={size}") for size in ("thumb", "whole"))
    assert max(Pillow.open(io.BytesIO(thumb.content)).size) == 112
    assert max(Pillow.open(io.BytesIO(whole.content)).size) == 640
    assert len(thumb.content) < 5_000
    for other in ("img_a", "img_b", "img_wrong", "img_none"):
        assert client.get(f"/examples/{other}").status_code == 404
    job_id = ask(client, data={"example": "img_c"})
    assert request_of(job_id)["key"] == "images/c.jpg"
