"""States, labels, conflicts and marks over HTTP, on a real database."""

from __future__ import annotations

import httpx
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from reel_ingest import api
from reel_shared.client import Client
from reel_shared.contracts.curation import ChangeImagesRequest, ImageSetting
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image, SubjectMark
from reel_shared.security import create_key


@pytest.fixture
def client(reel_database):
    with transaction() as session:
        _, token = create_key(session, "test", ["read", "submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def image(name):
    with transaction() as session:
        return session.get(Image, name)


def states(*names):
    return [image(name).state for name in names]


def marks():
    with transaction() as session:
        return {row.image_id: row.mark for row in session.scalars(sa.select(SubjectMark))}


def change(client, status=200, **body):
    answer = client.post("/v1/image-changes", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def undo(client, batch, status=200):
    answer = client.post(f"/v1/image-changes/{batch['batch_id']}/undo")
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_rejection_and_its_way_back(client, add, databases):
    a, b = add("a"), add("b", state="rejected", state_reason="blurred")
    batch = change(client, image_ids=[a, b, a], set={"state": "rejected"}, reason="blurred")
    assert (batch["changed"], batch["unchanged"]) == (1, 1)
    assert (image(a).state, image(a).state_reason) == ("rejected", "blurred")
    back = undo(client, batch)
    assert back["changed"] == 1
    assert (image(a).state, image(a).state_reason) == ("active", "")
    assert states(b) == ["rejected"]
    history = client.get(f"/v1/images/{a}/changes").json()["data"]
    assert [(row["before"], row["after"], row["batch_id"]) for row in history] == [
        ("rejected", "active", back["batch_id"]),
        ("active", "rejected", batch["batch_id"]),
    ]
    assert history[0]["by"].startswith("key_")
    again = undo(client, back)
    assert (again["changed"], states(a)) == (1, ["rejected"])
    assert client.get(f"/v1/images/{b}/changes").json()["data"] == []


def test_the_reason_is_a_person_unless_said(client, add):
    a = add("a")
    change(client, image_ids=[a], set={"state": "quarantined"})
    assert image(a).state_reason == "person"


def test_what_was_changed_since_is_left_alone(client, add):
    a, b = add("a"), add("b")
    batch = change(client, image_ids=[a, b], set={"state": "rejected"})
    change(client, image_ids=[a], set={"state": "quarantined"})
    back = undo(client, batch)
    assert (back["changed"], back["unchanged"], back["skipped"]) == (1, 0, 1)
    assert states(a, b) == ["quarantined", "active"]
    assert undo(client, batch)["skipped"] == 2
    assert "no batch" in undo(client, {"batch_id": "chg_none"}, 404)["detail"]


def test_a_filter_finds_originals_of_one_dataset(client, add):
    a, b = add("a", style="fanart"), add("b", style="sketch")
    other, variant = (
        add("c", dataset="e", style="fanart"),
        add("v", parent_id=a, variant="log", style="fanart"),
    )
    removed = add("r", style="fanart", state="removed")
    frame = add("f", movie="mov_1", scene=4)
    batch = change(client, filter={"dataset": "d", "style": "fanart"}, set={"state": "rejected"})
    assert batch["changed"] == 1
    assert states(a, b, other, variant, removed) == ["rejected", "active", "active", "active", "removed"]
    assert (
        change(client, filter={"dataset": "d", "scene": 4, "movie_id": "mov_1"}, set={"state": "rejected"})[
            "changed"
        ]
        == 1
    )
    assert states(frame) == ["rejected"]
    assert (
        change(client, filter={"dataset": "d", "state": "rejected"}, set={"state": "active"})["changed"] == 2
    )


def test_the_same_bytes_are_active_once(client, add, databases):
    first, second, third = (
        add("a", sha="x"),
        add("b", sha="x", state="duplicate", duplicate_of="img_a"),
        add("c"),
    )
    problem = change(client, 409, image_ids=[second, third], set={"state": "active"})
    assert problem["active"] == first
    assert first in problem["detail"]
    batch = change(
        client, image_ids=[first], set={"state": "duplicate", "duplicate_of": second}, reason="copy"
    )
    change(client, image_ids=[second], set={"state": "active"})
    assert (image(second).duplicate_of, image(first).duplicate_of) == (None, second)
    assert "same bytes" in undo(client, batch, 409)["detail"]
    third = add("d", sha="x", state="rejected")
    change(client, image_ids=[second], set={"state": "rejected"})
    change(client, 409, image_ids=[first, third], set={"state": "active"})
    assert states(first, second, third) == ["duplicate", "rejected", "rejected"]


def test_variants_go_with_their_original(client, add, databases):
    a = add("a")
    v = add("v", parent_id=a, variant="log")
    batch = change(client, image_ids=[a], set={"label": "mulan", "state": "rejected"})
    assert (image(v).label, image(v).state) == ("mulan", "active")
    undo(client, batch)
    assert (image(v).label, image(a).label, image(a).state) == ("kiki", "kiki", "active")
    assert "follows its original" in change(client, 422, image_ids=[v], set={"state": "rejected"})["detail"]


def test_a_frame_is_relabelled_only_with_force(client, add):
    web, frame = add("a"), add("f", movie="mov_1")
    wish = {"image_ids": [web, frame], "set": {"label": "mulan"}}
    assert "force" in change(client, 409, **wish)["detail"]
    assert image(web).label == "kiki"
    assert change(client, **wish, force=True)["changed"] == 2
    assert change(client, image_ids=[frame], set={"label": "mulan"})["unchanged"] == 1


def test_one_key_acts_once(client, add):
    a = add("a")
    body = {"image_ids": [a], "set": {"state": "rejected"}}
    first = client.post("/v1/image-changes", json=body, headers={"Idempotency-Key": "k"})
    second = client.post("/v1/image-changes", json=body, headers={"Idempotency-Key": "k"})
    assert second.json() == first.json()
    assert second.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    "body",
    [
        {"set": {"state": "rejected"}},
        {"image_ids": ["img_a"], "filter": {"dataset": "d"}, "set": {"state": "rejected"}},
        {"image_ids": [], "set": {"state": "rejected"}},
        {"image_ids": ["img_a"], "set": {}},
        {"image_ids": ["img_a"], "set": {"state": "removed"}},
        {"image_ids": ["img_a"], "set": {"state": "duplicate"}},
        {"image_ids": ["img_a"], "set": {"state": "active", "duplicate_of": "img_a"}},
        {"image_ids": ["img_a"], "set": {"state": "duplicate", "duplicate_of": "img_a"}},
        {"image_ids": ["img_a"], "set": {"state": "duplicate", "duplicate_of": "img_none"}},
        {"image_ids": ["img_a"] * 10_001, "set": {"state": "rejected"}},
        {"image_ids": ["img_a"], "set": {"state": "rejected"}, "reason": "x" * 65},
        {"filter": {"label": "kiki"}, "set": {"state": "rejected"}},
    ],
)
def test_changes_that_do_not_fit(client, add, body):
    add("a")
    change(client, 422, **body)
    assert states("img_a") == ["active"]


def test_what_is_missing_or_gone_is_said(client, add):
    a, gone = add("a"), add("b", state="removed")
    assert "img_none" in change(client, 404, image_ids=[a, "img_none"], set={"state": "rejected"})["detail"]
    assert "taken down" in change(client, 409, image_ids=[a, gone], set={"state": "active"})["detail"]
    assert client.get("/v1/images/img_none/changes").status_code == 404
    assert client.get(f"/v1/images/{gone}").json()["file"] is None
    assert states(a) == ["active"]


def test_ten_thousand_at_once(client, add, databases):
    a = add("a")
    with transaction() as session:
        row = {c.key: getattr(session.get(Image, a), c.key) for c in sa.inspect(Image).column_attrs}
        rows = [row | {"id": f"img_{n:032x}", "sha256": f"{n:064x}"} for n in range(10_000)]
        session.execute(sa.insert(Image), rows)
    ids = [row["id"] for row in rows]
    batch = change(client, image_ids=ids, set={"state": "rejected"}, reason="background")
    assert batch["changed"] == 10_000
    assert undo(client, batch)["changed"] == 10_000
    assert marks() == {}


# --- conflicts --------------------------------------------------------------------------------------------------


def in_conflict(of):
    return {"state": "quarantined", "state_reason": "conflict", "duplicate_of": of}


def resolve(client, image_id, status=200, **body):
    answer = client.post(f"/v1/images/{image_id}/resolve", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize("keep", ["a", "b", "c"])
@pytest.mark.parametrize("first", [{}, in_conflict(None)], ids=["one-active", "all-quarantined"])
def test_a_conflict_is_resolved_by_keeping_one(client, add, keep, first):
    add("a", **first)
    add("b", label="mulan", **in_conflict("img_a"))
    add("c", label="tarzan", **in_conflict("img_a"))
    names = ("img_a", "img_b", "img_c")
    before = [(one.state, one.state_reason, one.duplicate_of) for one in map(image, names)]
    batch = resolve(client, f"img_{keep}")
    for name in names:
        kept = name == f"img_{keep}"
        assert image(name).state == ("active" if kept else "duplicate")
        assert image(name).duplicate_of == (None if kept else f"img_{keep}")
    undo(client, batch)
    assert [(one.state, one.state_reason, one.duplicate_of) for one in map(image, names)] == before


def test_two_that_name_each_other_are_one_conflict(client, add):
    a, b = add("a", **in_conflict("img_b")), add("b", label="mulan", **in_conflict("img_a"))
    resolve(client, b)
    assert (states(a, b), image(a).duplicate_of) == (["duplicate", "active"], b)


def test_the_right_label_may_be_another(client, add):
    a, b = add("a"), add("b", label="mulan", **in_conflict("img_a"))
    batch = resolve(client, b, label="tarzan", others="rejected")
    assert batch["changed"] == 2
    assert (image(b).state, image(b).label, image(b).state_reason) == ("active", "tarzan", "")
    assert (image(a).state, image(a).state_reason, image(a).duplicate_of) == ("rejected", "conflict", b)
    assert "Nothing contradicts" in resolve(client, b, 409)["detail"]
    assert resolve(client, "img_none", 404)


# --- marks ------------------------------------------------------------------------------------------------------


def test_marks_are_set_replaced_found_and_taken_away(client, add, databases):
    a, b = add("a"), add("b")
    assert client.put(f"/v1/images/{a}/mark", json={"mark": "background"}).json()["id"] == a
    answer = client.post("/v1/subject-marks", json={"image_ids": [a, b, b], "mark": "keep"})
    assert answer.json() == {"marked": 2}
    assert marks() == {a: "keep", b: "keep"}
    assert client.delete(f"/v1/images/{b}/mark").status_code == 204
    assert [row["id"] for row in client.get("/v1/images?mark=keep").json()["data"]] == [a]
    assert client.put(f"/v1/images/{a}/mark", json={"mark": "good"}).status_code == 422
    assert (
        client.post("/v1/subject-marks", json={"image_ids": [a, "img_no"], "mark": "keep"}).status_code == 404
    )
    assert states(a, b) == ["active", "active"]


def test_rejecting_as_background_and_taking_it_back_are_marks(client, add):
    a, b = add("a"), add("b", state="rejected", state_reason="background")
    batch = change(client, image_ids=[a], set={"state": "rejected"}, reason="background")
    change(client, image_ids=[b], set={"state": "active"})
    assert marks() == {a: "background", b: "keep"}
    undo(client, batch)
    assert marks() == {b: "keep"}


def test_the_list_is_filtered_by_state(client, add):
    add("a", quality={"blur": 3.5}, probe="drawings")
    b = add("b", state="duplicate", state_reason="near-duplicate", duplicate_of="img_a")
    for query in ("state=duplicate", "state_reason=near-duplicate", "duplicate_of=img_a"):
        [row] = client.get(f"/v1/images?{query}").json()["data"]
        assert (row["id"], row["state"], row["duplicate_of"]) == (b, "duplicate", "img_a")
    [row] = client.get("/v1/images?probe=drawings").json()["data"]
    assert (row["quality"], row["taken_at"], row["state_reason"]) == ({"blur": 3.5}, None, "")
    assert client.get("/v1/images?state=gone").status_code == 422


def test_readers_may_not_change(client, add):
    with transaction() as session:
        _, token = create_key(session, "reader", ["read"])
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("image-changes", "image-changes/chg_1/undo", "images/img_a/resolve", "subject-marks"):
        assert client.post(f"/v1/{path}", json={}, headers=headers).status_code == 403


def test_the_python_client_does_it_all(client, add):
    a, b = add("a"), add("b", label="mulan", **in_conflict("img_a"))

    def serve(request):
        sent = client.request(
            request.method, str(request.url), content=request.read(), headers=dict(request.headers)
        )
        return httpx.Response(sent.status_code, content=sent.content)

    token = client.headers["Authorization"].removeprefix("Bearer ")
    with Client("http://testserver", token, transport=httpx.MockTransport(serve)) as reel:
        wish = ChangeImagesRequest(image_ids=[a], set=ImageSetting(state="rejected"), reason="background")
        batch = reel.change_images(wish)
        assert [row["after"] for row in reel.image_history(a)] == ["rejected"]
        assert reel.undo_changes(batch.batch_id).changed == 1
        assert reel.resolve_conflict(b).changed == 2
        assert reel.mark_images([a, b], "keep") == 2
    assert states(a, b) == ["duplicate", "active"]
