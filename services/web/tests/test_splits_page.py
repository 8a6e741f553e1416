"""The page of a version: its proof, the sides of its scenes, pins that it does not have yet, the leak gap."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from reel_shared import certificate as certificates
from reel_shared import jobs
from reel_shared.certificate import LeakCertificate, Neighbours, WorstPair
from reel_shared.contracts import (
    MEASURE_LEAK_GAP,
    MeasureLeakGapRequest,
    MeasureLeakGapResult,
    Metrics,
    SplitCertificate,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, Movie, SplitPin
from reel_shared.storage import storage
from reel_web.pages import splits

PROOF = {
    "certified": True,
    "shared_scenes": 0,
    "shared_lineages": 0,
    "near_duplicates_across": 0,
    "nearest_distance_across": 12,
    "near_distance": 6,
    "groups": 7,
}


@pytest.fixture
def version(add, build):
    """A film of three scenes and a drawing: the first scene trains with one frame excluded, the second is held out."""
    ids = [
        add(movie="mov_1", at=at, scene=scene) for at, scene in ((1, 0), (5, 0), (20, 3), (24, 3), (60, 7))
    ]
    drawing = add()
    sides = dict(zip(ids, ("train", "excluded", "valid", "valid", "train"), strict=True))
    return build({**sides, drawing: "train"}, **PROOF), ids


def shown(client, version_id="dsv_1"):
    return client.get(f"/datasets/films/versions/{version_id}.json").json()


def test_scenes_lie_where_their_pictures_do_and_last_until_the_next(browse, version):
    data = shown(browse())
    [film] = data["films"]
    assert [(one["number"], one["side"], one["seconds"]) for one in film["scenes"]] == [
        (0, "train", 19.0),
        (3, "valid", 40.0),
        (7, "train", 60.0),
    ]
    assert film["scenes"][0]["sides"] == {"train": 1, "excluded": 1}
    assert data["sides"] == {"train": 3, "valid": 2, "excluded": 1}
    page = browse().get("/datasets/films/versions/dsv_1").text
    assert 'aria-label="Scene 4, 0:20 to 1:00, valid"' in page
    assert "Certified" in page
    assert "the nearest are 12 bits apart" in page


def test_of_many_long_films_the_scenes_of_one_are_drawn(browse, version, monkeypatch):
    monkeypatch.setattr(splits, "MOST_SCENES", 2)
    client = browse()
    assert len(shown(client)["films"][0]["scenes"]) == 3
    with transaction() as session:
        twin = session.get_one(Movie, "mov_1")
        facts = {column.key: getattr(twin, column.key) for column in sa.inspect(Movie).columns}
        session.add(Movie(**{**facts, "id": "mov_0", "title": "An early film"}))
    first, second = shown(client)["films"]
    assert (first["scenes"], second["count"]) == (None, 3)
    assert client.get(second["address"]).text.count('class="scene ') == 3


def test_pins_are_on_their_scenes_and_told_when_the_version_has_them_not(browse, version):
    with transaction() as session:
        session.add(SplitPin(id="pin_1", dataset="films", side="valid", movie_id="mov_1", scene=0))
        session.add(SplitPin(id="pin_2", dataset="other", side="valid", movie_id="mov_1", scene=7))
    data = shown(browse())
    assert [one["pin"] for one in data["films"][0]["scenes"]] == [
        {"id": "pin_1", "side": "valid"},
        None,
        None,
    ]
    assert data["pins"] == {"all": 1, "added": 1, "removed": 0}
    assert data["again"]["base_version"] == "dsv_1"
    assert 'id="build"' not in browse().get("/datasets/films/versions/dsv_1").text
    page = browse("read", "submit").get("/datasets/films/versions/dsv_1").text
    assert 'id="build"' in page
    assert "pinned to valid" in page


def test_a_split_that_leaks_says_what_leaks(browse, add, build):
    build({add(): "train"}, **{**PROOF, "certified": False, "shared_scenes": 2})
    data = shown(browse())
    assert data["certificate"]["reason"] == "training and held-out pictures share 2 scene(s)"
    page = browse().get("/datasets/films/versions/dsv_1").text
    assert "Not certified" in page
    assert "Training and held-out pictures share 2 scene(s)." in page


def test_the_worst_pairs_stand_side_by_side(browse, version):
    version_id, ids = version
    with transaction() as session:
        row = session.get_one(DatasetVersion, version_id)
        whole = LeakCertificate(
            manifest_sha256=row.manifest_sha256,
            dataset="films",
            classes=["kite"],
            train_originals=3,
            valid_originals=2,
            summary=SplitCertificate.model_validate({"shared_files": 0, **PROOF}),
            worst_by_hash=[WorstPair(held_out=ids[2], train=ids[0], side="valid", bits=12, inverted=True)],
            worst_by_time=[WorstPair(held_out=ids[2], train=ids[0], side="valid", bits=30, seconds=19.0)],
            neighbours=[Neighbours(id=ids[2], side="valid")],
        )
        stored = storage().put_bytes(
            "certificates", certificates.to_bytes(whole), "application/json", ".json"
        )
        row.certificate_file = stored.model_dump(mode="json", exclude={"url"})
    data = shown(browse())
    [pair] = data["pairs"]["hash"]
    assert (pair["held_out"]["id"], pair["train"]["id"], pair["bits"]) == (ids[2], ids[0], 12)
    page = browse().get(f"/datasets/films/versions/{version_id}").text
    assert "one as a negative" in page
    assert "19 s" in page


def test_the_last_measured_gap_of_this_dataset_is_told(browse, version):
    for dataset, random in (("films", 0.99), ("other", 0.5)):
        with transaction() as session:
            job = jobs.submit(session, MEASURE_LEAK_GAP, MeasureLeakGapRequest(dataset=dataset))
            metrics = {"images": 100, "per_class": {}}
            result = MeasureLeakGapResult(
                dataset=dataset,
                recipe="leak-gap",
                random=Metrics(accuracy=random, **metrics),
                groups=Metrics(accuracy=0.8, **metrics),
                gap=random - 0.8,
                gap_interval=(0.1, 0.25),
                neighbours=0.97,
                seconds=60.0,
            )
            jobs.succeed(session, jobs.claim(session, job.id), jobs.Outcome(result))
    gap = shown(browse())["gap"]
    assert (gap["random"], gap["groups"]) == (0.99, 0.8)
    assert "+19.0 points" in browse().get("/datasets/films/versions/dsv_1").text


def test_a_version_belongs_to_its_dataset(browse, version):
    client = browse()
    assert client.get("/datasets/films/versions/dsv_none").status_code == 404
    assert client.get("/datasets/other/versions/dsv_1").status_code == 404
    assert browse("submit").get("/datasets/films/versions/dsv_1").status_code == 403
    assert client.get("/datasets/films.json").json()["versions"][0]["certified"] is True
