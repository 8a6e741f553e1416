"""What is in doubt: in which order, until when, and what the page says of it."""

from __future__ import annotations

import json

import pytest

from reel_shared import jobs
from reel_shared.contracts import CHECK_LABELS, RANK_SUBJECTS, CheckLabelsRequest, CheckLabelsResult
from reel_shared.contracts.curation import RankSubjectsRequest, RankSubjectsResult
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image, Movie, SubjectMark
from reel_shared.storage import storage
from reel_web.pages.review import SHEET


def proposals(rows):
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    return storage().put_bytes("proposals", lines, "application/jsonl", ".jsonl")


@pytest.fixture
def check_labels(reel, build):
    """End a label check of a version of these pictures: ``check_labels([(id, label, suggested)])``."""

    def end(doubts):
        version = build({name: "train" for name, *_ in doubts})
        with transaction() as session:
            job = jobs.submit(session, CHECK_LABELS, CheckLabelsRequest(dataset_version_id=version))
            result = CheckLabelsResult(
                dataset_version_id=version,
                model="mdl_1",
                images=9,
                doubtful=len(doubts),
                by_label={},
                proposals=proposals(
                    {"id": name, "label": label, "suggested": other, "confidence": 0.87}
                    for name, label, other in doubts
                ),
            )
            jobs.succeed(session, jobs.claim(session, job.id), jobs.Outcome(result))

    return end


@pytest.fixture
def rank(reel):
    """End a ranking that proposes these frames as empty, and not the ones after."""

    def end(proposed, others=()):
        rows = [
            {"image_id": name, "probability": 0.9, "proposed": name in proposed, "mark": None}
            for name in (*proposed, *others)
        ]
        with transaction() as session:
            job = jobs.submit(session, RANK_SUBJECTS, RankSubjectsRequest(dataset="films"))
            result = RankSubjectsResult(
                frames=9, marked={"keep": 10, "background": 10}, proposed=len(proposed), proposals=proposals(rows),
                threshold=0.5, precision=1.0, precision_lower=0.9, precision_expected=0.9, recall=1.0, enough=True,
                message="Good.", features_made=0,
            )  # fmt: skip
            jobs.succeed(session, jobs.claim(session, job.id), jobs.Outcome(result))

    return end


def decide(name, **fields):
    with transaction() as session:
        row = session.get_one(Image, name)
        for field, value in fields.items():
            setattr(row, field, value)


def cases(client, query=""):
    return [
        (one["id"], one["case"]) for one in client.get(f"/review.json?dataset=films{query}").json()["data"]
    ]


def test_the_most_suspicious_come_first_and_each_once(browse, add, check_labels, rank):
    frame, doubtful, plain = add(movie="mov_1"), add(label="moon"), add()
    blurred = add(state="quarantined", state_reason="blurred")
    kept = add(label="moon")
    twin = add(state="quarantined", state_reason="conflict", duplicate_of=kept)
    check_labels([(doubtful, "moon", "kite"), (frame, "kite", "moon")])
    rank([frame], [plain])
    client = browse()
    assert cases(client) == [
        (twin, "conflict"), (blurred, "quarantined"), (doubtful, "label"), (frame, "label"),
    ]  # fmt: skip
    data = client.get("/review.json?dataset=films").json()
    assert {one["name"]: one["count"] for one in data["kinds"]} == {
        "conflict": 1, "quarantined": 1, "label": 2, "empty": 0, "border": 0, "model": 0,
    }  # fmt: skip
    assert [other["id"] for other in data["data"][0]["others"]] == [kept]
    assert data["data"][2]["why"] == "Filed under Moon; it looks more like Kite (87 %)."
    assert cases(client, "&kind=label") == [(doubtful, "label"), (frame, "label")]
    page = client.get("/review?dataset=films").text
    assert "One picture, two classes" in page
    assert "put in quarantine: blurred" in page


def test_what_a_person_has_decided_leaves_the_queue(browse, add, check_labels, rank):
    labels = [add(label="moon") for _ in range(4)]
    frames = [add(movie="mov_1") for _ in range(3)]
    check_labels([(name, "moon", "kite") for name in labels])
    rank(frames)
    decide(labels[0], state_reason="reviewed")
    decide(labels[1], label="kite")
    decide(labels[2], state="rejected")
    decide(frames[0], state="rejected", state_reason="background")
    with transaction() as session:
        session.add(SubjectMark(image_id=frames[1], mark="keep"))
    assert cases(browse()) == [(labels[3], "label"), (frames[2], "empty")]


def test_sheets_follow_one_another_behind_what_was_left(browse, add):
    names = [add(state="quarantined", state_reason="person") for _ in range(SHEET + 5)]
    client = browse()
    assert [name for name, _ in cases(client)] == names[:SHEET]
    assert [name for name, _ in cases(client, f"&skip={SHEET}")] == names[SHEET:]
    assert cases(client, "&skip=999") == []
    page = client.get("/review?dataset=films&view=sheet").text
    assert page.count('<li class="case"') == SHEET
    assert client.get("/review?dataset=films&skip=-1").status_code == 422


def test_edges_of_films_are_told_with_what_was_seen_there_and_one_frame_stands_for_each(browse, add):
    dark, frame, other = (add(movie="mov_1") for _ in range(3))
    decide(dark, state="rejected", state_reason="dark")
    report = {
        "bars": {
            "left": {"pixels": 4, "cut": False, "reason": "too few frames"},
            "top": {"pixels": 9, "cut": True},
        },
        "artefacts": [{"kind": "logo", "constant_share": 0.93}],
    }
    with transaction() as session:
        session.get_one(Movie, "mov_1").borders = report
    data = browse().get("/review.json").json()
    assert [one["said"] for one in data["edges"]] == [
        ["left: 4 pixels, not cut: too few frames", "logo in 93 % of the frames"]
    ]
    client = browse()
    assert cases(client) == [(frame, "border")]
    (case,) = client.get("/review.json?dataset=films").json()["data"]
    assert case["why"].startswith("At the edges of its film: left: 4 pixels, not cut")
    decide(frame, state="rejected", state_reason="person")
    assert cases(client) == [], "another frame does not come for the film that was looked at"
    decide(frame, state="active", state_reason="reviewed")
    assert cases(client) == []
    assert other


def test_it_opens_on_the_newest_data_set_of_which_something_is_in_doubt(browse, add):
    def opened(query=""):
        data = client.get(f"/review.json{query}").json()
        return data["dataset"], [one["id"] for one in data["data"]]

    client = browse()
    out_of_reach = add(dataset="a", state="quarantined", state_reason="person")
    old = add(dataset="b", state="quarantined", state_reason="person")
    add(dataset="d")
    add(dataset="c")
    assert opened() == ("b", [old])
    assert opened("?kind=label") == ("c", [])
    assert opened("?dataset=a") == ("a", [out_of_reach])
    newest = add(dataset="e", state="quarantined", state_reason="person")
    assert opened() == ("e", [newest])
    assert client.get("/review.json").json()["every"]["address"] == "/review?dataset=e"
    assert 'data-dataset="e"' in client.get("/review").text


def test_without_anything_in_doubt_it_says_how_more_is_found(browse, add):
    assert "No pictures yet" in browse().get("/review").text
    add()
    page = browse().get("/review")
    assert "Nothing is left in doubt" in page.text
    assert "/v1/label-checks" in page.text
    assert browse("submit").get("/review").status_code == 403


def test_keys_are_for_those_who_may_change(browse, add):
    add(state="quarantined", state_reason="person")
    assert "review.js" not in browse("read").get("/review").text
    page = browse("read", "submit").get("/review").text
    assert "review.js" in page
    assert 'data-key="1"' in page
