"""What people say of answers: told by anyone, listed for review, and what is deleted meanwhile."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
import sqlalchemy as sa
from PIL import Image
from starlette.testclient import TestClient

from reel_shared import retention
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Feedback, utcnow
from reel_shared.outbox import Reaper
from reel_shared.security import create_key
from reel_shared.testing.registry import add_model
from reel_shared.web.app import create_app
from reel_web.api import router as api
from reel_web.pages import router as pages

pytestmark = pytest.mark.servers
CLASSES = ["harbor-lights", "kite-weather"]


@pytest.fixture
def client(reel):
    reel.configure(web__secret="a secret that only this test knows")
    with transaction() as session:
        card = {"id": "mdl_1", "architecture": "resnet18", "classes": CLASSES, "size": 128, "recipe": {}}
        add_model(session, card, {}, version_id="dsv_1")
    with TestClient(create_app("web", [api, pages]), follow_redirects=False) as made:
        yield made


def bearer(*scopes):
    with transaction() as session:
        return {"Authorization": f"Bearer {create_key(session, 'test', scopes)[1]}"}


def picture(color=(10, 20, 30)):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(stream, "PNG")
    return stream.getvalue()


def upload(client, **options):
    return client.post("/v1/uploads", content=picture(**options)).json()["key"]


def say(client, key, *, right=False, headers=None, **more):
    body = {"key": key, "predicted": CLASSES[0], "right": right, **more}
    return client.post("/v1/feedback", json=body, headers=headers or {})


def test_a_visitor_says_what_was_wrong_and_the_last_word_counts(client):
    key = upload(client)
    assert say(client, key, right=True).status_code == 201
    answer = say(client, key, label=CLASSES[1])
    assert answer.status_code == 201
    said = answer.json()
    assert (said["right"], said["label"], said["by"], said["model_id"]) == (
        False,
        CLASSES[1],
        "demo",
        "mdl_1",
    )
    [row] = client.get("/v1/feedback", headers=bearer("read")).json()["data"]
    assert row == {**said, "url": row["url"]}


def test_what_fits_nothing_is_refused(client, reel):
    key = upload(client)
    assert say(client, key, right=True, label=CLASSES[1]).status_code == 422
    assert say(client, key, label="moon").status_code == 422
    assert say(client, "uploads/visitors/ab/none.png").status_code == 404
    mine = client.post("/v1/uploads", content=picture(), headers=bearer("submit")).json()["key"]
    assert not mine.startswith("uploads/visitors/")
    assert say(client, mine).status_code == 403
    assert say(client, "images/ab/x.png", headers=bearer("submit")).status_code == 422
    assert client.get("/v1/feedback").status_code == 401
    reel.configure(web__public_demo="false")
    assert say(client, key).status_code == 401


def test_it_is_listed_for_review_until_somebody_has_looked(client):
    wrong = say(client, upload(client, color=(1, 1, 1))).json()
    say(client, upload(client, color=(2, 2, 2)), right=True)
    reader, submitter = bearer("read"), bearer("submit")
    waiting = client.get("/v1/feedback?right=false&done=false", headers=reader).json()["data"]
    assert [row["id"] for row in waiting] == [wrong["id"]]
    assert client.post(f"/v1/feedback/{wrong['id']}/done", headers=reader).status_code == 403
    assert client.post(f"/v1/feedback/{wrong['id']}/done", headers=submitter).json()["done_at"] is not None
    assert client.get("/v1/feedback?right=false&done=false", headers=reader).json()["data"] == []
    assert client.post("/v1/feedback/fbk_none/done", headers=submitter).status_code == 404


def test_the_page_shows_what_waits(client):
    assert client.get("/feedback", headers={"Accept": "text/html"}).status_code == 303
    with transaction() as session:
        token = create_key(session, "test", ["read", "submit"])[1]
    client.post("/sign-in", data={"key": token})
    assert "Nothing is like that" in client.get("/feedback", headers={"Accept": "text/html"}).text
    said = say(client, upload(client), label=CLASSES[1], headers=bearer("submit"))
    assert said.status_code == 201
    page = client.get("/feedback", headers={"Accept": "text/html"}).text
    assert "Kite weather" in page
    assert f"/v1/feedback/{said.json()['id']}/done" in page
    assert client.get("/feedback?right=perhaps", headers={"Accept": "text/html"}).status_code == 422


def test_visitors_pictures_go_after_their_time_but_for_a_wrong_answer_that_waits(client, reel):
    kept, gone = upload(client, color=(1, 1, 1)), upload(client, color=(2, 2, 2))
    mine = client.post("/v1/uploads", content=picture((3, 3, 3)), headers=bearer("submit")).json()["key"]
    drawn = reel.storage.put_bytes(retention.DRAWN, b"heat", "image/png", ".png").key
    say(client, kept)
    say(client, gone, right=True)
    assert retention.sweep() == 0
    reel.configure(web__visitor_hours=1e-9)
    assert retention.sweep() == 2
    assert [reel.storage.exists(key) for key in (kept, gone, mine, drawn)] == [True, False, True, False]
    with transaction() as session:
        session.execute(sa.update(Feedback).values(done_at=utcnow() - timedelta(seconds=1)))
    assert retention.sweep() == 1
    assert not reel.storage.exists(kept)


def test_a_turn_deletes_so_many_and_the_next_one_goes_on(client, reel, monkeypatch):
    for number in range(3):
        upload(client, color=(number, 0, 0))
    reel.configure(web__visitor_hours=1e-9)
    monkeypatch.setattr(retention, "BATCH", 2)
    assert [retention.sweep(), retention.sweep(), retention.sweep()] == [2, 1, 0]


def test_the_reaper_sweeps_now_and_then_and_at_once_again_while_there_is_more(client, reel, monkeypatch):
    for number in range(2):
        upload(client, color=(number, 0, 0))
    reel.configure(web__visitor_hours=1e-9)
    monkeypatch.setattr(retention, "BATCH", 2)
    reaper = Reaper()
    reaper.step()
    held = [found.key for found in reel.storage.list(f"{retention.VISITORS}/")]
    assert len(held) == 2
    reaper.sweep_at = 0.0
    reaper.step()
    assert list(reel.storage.list(f"{retention.VISITORS}/")) == []
    assert reaper.sweep_at == 0.0
    reaper.step()
    assert reaper.sweep_at > 0.0


def test_feedback_stays_when_its_picture_is_gone(client, reel):
    say(client, upload(client), right=True)
    reel.configure(web__visitor_hours=1e-9)
    retention.sweep()
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Feedback)) == 1
