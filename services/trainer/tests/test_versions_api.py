"""Certificates, differences, pins and leak gaps over HTTP and as jobs, on a real database and real storage."""

from __future__ import annotations

import hashlib
import json

import pytest

from reel_shared import jobs
from reel_shared.certificate import to_bytes, verify
from reel_shared.contracts import BUILD_DATASET_VERSION, MEASURE_LEAK_GAP, MeasureLeakGapRequest
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, Image
from reel_shared.manifest import Side, load
from reel_shared.runner import run_job
from reel_trainer import tasks
from reel_trainer.gap_run import RESULT
from reel_trainer.leak_gap import neighbours
from reel_trainer.leaks import certify
from reel_trainer.tasks import leak_gaps

pytestmark = pytest.mark.servers


@pytest.fixture
def built(client, dataset):
    """Build a version over HTTP; return it as the API shows it."""

    def do(**request):
        answer = client.post("/v1/dataset-versions", json=request)
        assert answer.status_code == 202, answer.text
        run_job(BUILD_DATASET_VERSION, tasks.build_dataset_version, answer.json()["id"])
        with transaction() as session:
            job = jobs.get(session, answer.json()["id"])
        assert job.state == "succeeded", job.error
        return client.get(f"/v1/dataset-versions/{job.result['dataset_version_id']}").json()

    return do


@pytest.fixture
def manifest_of(reel):
    return lambda version: load(
        reel.storage.get_bytes(version["manifest"]["key"], max_bytes=10**7),
        sha256=version["manifest"]["sha256"],
    )


def test_the_certificate_is_shown_whole_and_only_unaltered(client, built, manifest_of, reel):
    version = built()
    path = f"/v1/dataset-versions/{version['id']}/certificate"
    answer = client.get(path)
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == version["certificate_file"]["sha256"]
    assert answer.headers["ETag"] == f'"{version["certificate_file"]["sha256"]}"'
    found = verify(answer.content, manifest_sha256=version["manifest"]["sha256"])
    manifest = manifest_of(version)
    assert found == certify(manifest, groups=found.summary.groups, warnings=found.summary.warnings)
    assert found.summary.model_dump(mode="json") == version["certificate"]
    assert [row.id for row in found.neighbours] == sorted(image.id for image in manifest.on(Side.VALID))
    assert client.get("/v1/dataset-versions/dsv_none/certificate").status_code == 404

    # one of another manifest, put in its place with its own hash
    foreign = to_bytes(found.model_copy(update={"manifest_sha256": "0" * 64}))
    stored = reel.storage.put_bytes("certificates", foreign, "application/json", ".json")
    with transaction() as session:
        row = session.get_one(DatasetVersion, version["id"])
        row.certificate_file = stored.model_dump(mode="json", exclude={"url"})
    altered = client.get(path)
    assert (altered.status_code, altered.json()["type"]) == (500, "urn:reelsight:problem:corrupt-object")
    with transaction() as session:
        session.get_one(DatasetVersion, version["id"]).certificate_file = None
    assert "built before whole certificates were stored" in client.get(path).json()["detail"]


def test_what_changed_between_two_versions(client, built, manifest_of):
    first = built()
    frames = [image for image in manifest_of(first).on(Side.TRAIN) if image.movie_id == "mov_cross"]
    scene = frames[0].scene
    with transaction() as session:
        session.get_one(Image, "img_disc00").state = "rejected"
        session.get_one(Image, "img_bars63").label = "disc"
    pin = {"side": "valid", "movie_id": "mov_cross", "scene": int(scene.partition(":")[2])}
    assert client.post("/v1/split-pins", json=pin).status_code == 201
    second = built(base_version=first["id"])
    path = f"/v1/dataset-versions/{second['id']}/diff"
    found = client.get(path, params={"base": first["id"]}).json()
    assert (found["base"], found["version"], found["added"]) == (first["id"], second["id"], [])
    assert found["removed"] == ["img_disc00"]
    assert found["relabelled"] == [{"id": "img_bars63", "before": "bars", "after": "disc"}]
    assert {(each["id"], each["before"], each["after"]) for each in found["moved"]} == {
        (image.id, "train", "valid") for image in frames if image.scene == scene
    }
    nothing = client.get(path, params={"base": second["id"]}).json()
    assert nothing["counts"] | {"same": 0} == dict.fromkeys(nothing["counts"], 0)
    assert client.get(path, params={"base": "dsv_none"}).status_code == 404
    assert client.get(path).status_code == 422


def test_pins_are_set_listed_kept_and_taken_away(client, built, manifest_of):
    scene = {"side": "valid", "movie_id": "mov_disc", "scene": 5}
    first, again = (
        client.post("/v1/split-pins", json=scene, headers={"Idempotency-Key": "a"}) for _ in range(2)
    )
    assert (first.status_code, again.json()) == (201, first.json())
    picture = client.post("/v1/split-pins", json={"side": "excluded", "image_id": "img_bars60"}).json()
    listed = client.get("/v1/split-pins").json()["data"]
    assert [pin["id"] for pin in listed] == [picture["id"], first.json()["id"]]
    for filters, wanted in (
        ({"side": "valid"}, [first.json()["id"]]),
        ({"movie_id": "mov_disc"}, [first.json()["id"]]),
        ({"dataset": "other"}, []),
    ):
        data = client.get("/v1/split-pins", params=filters).json()["data"]
        assert [pin["id"] for pin in data] == wanted
    manifest = manifest_of(built())
    sides = {image.id: (image.split, image.reason) for image in manifest.images}
    assert {sides[f"img_disc{number}"] for number in (15, 16, 17)} == {(Side.VALID, "")}
    assert sides["img_bars60"] == (Side.EXCLUDED, "pinned")
    assert {(pin.id, pin.images) for pin in manifest.pins} == {
        (first.json()["id"], 3),
        (picture["id"], 1),
    }
    assert client.delete(f"/v1/split-pins/{picture['id']}").status_code == 204
    assert client.delete(f"/v1/split-pins/{picture['id']}").status_code == 404
    manifest = manifest_of(built())
    assert {image.id: image.split for image in manifest.images}["img_bars60"] != Side.EXCLUDED
    assert [pin.id for pin in manifest.pins] == [first.json()["id"]]


@pytest.mark.parametrize(
    ("pin", "why"),
    [
        ({"image_id": "img_none"}, "has no picture img_none"),
        ({"image_id": "img_disc00", "dataset": "other"}, "has no picture img_disc00"),
        ({"image_id": "img_log"}, "is a variant of img_disc48; pin that one"),
        ({"movie_id": "mov_none", "scene": 1}, "has no film mov_none"),
        ({"movie_id": "mov_disc", "scene": 16}, "has 16 scenes, counted from 0; there is no scene 16"),
        ({"movie_id": "mov_disc", "start_seconds": 16, "end_seconds": 17}, "lasts 16 s; nothing begins at 16 s"),
        ({"movie_id": "mov_disc", "start_seconds": 5, "end_seconds": 5}, "end_seconds must be after start_seconds"),
        ({"movie_id": "mov_disc"}, "pin a scene by movie_id and scene"),
        ({"image_id": "img_disc00", "movie_id": "mov_disc", "scene": 1}, "pin a scene by movie_id and scene"),
    ],
)  # fmt: skip
def test_pins_of_what_is_not_there_are_refused(client, dataset, pin, why):
    with transaction() as session:
        original = session.get_one(Image, "img_disc48")
        facts = {column.name: getattr(original, column.name) for column in Image.__table__.columns}
        session.add(Image(**{**facts, "id": "img_log", "variant": "log", "parent_id": "img_disc48"}))
    answer = client.post("/v1/split-pins", json={"side": "train", **pin})
    assert answer.status_code == 422
    assert why in answer.text
    assert client.get("/v1/split-pins").json()["data"] == []


def test_pins_that_contradict_fail_the_next_version(client, dataset):
    for side, what in (
        ("train", {"image_id": "img_disc15"}),
        ("valid", {"movie_id": "mov_disc", "scene": 5}),
    ):
        assert client.post("/v1/split-pins", json={"side": side, **what}).status_code == 201
    job_id = client.post("/v1/dataset-versions", json={}).json()["id"]
    run_job(BUILD_DATASET_VERSION, tasks.build_dataset_version, job_id)
    with transaction() as session:
        error = jobs.get(session, job_id).error
    assert (error["status"], "Two pins contradict each other" in error["detail"]) == (422, True)


def test_a_leak_gap_compares_two_splits_that_really_differ(client, dataset, monkeypatch):
    """The same frames in both; neighbours on both sides of the random one only."""
    seen = {}

    def follow(module, spec, *_args, **_options):
        for name in ("random", "groups"):
            seen[name] = load(getattr(spec, name).read_bytes())
        metrics = {"accuracy": 0.5, "images": 1}
        said = {"random": metrics, "groups": metrics, "gap": 0, "gap_interval": [0, 0], "neighbours": 1}
        (spec.out / RESULT).write_text(json.dumps(said))

    monkeypatch.setattr(leak_gaps, "follow", follow)
    with transaction() as session:
        job_id = jobs.submit(session, MEASURE_LEAK_GAP, MeasureLeakGapRequest()).id
    run_job(MEASURE_LEAK_GAP, tasks.measure_leak_gap, job_id)
    with transaction() as session:
        job = jobs.get(session, job_id)
    assert job.state == "succeeded", job.error
    mixed, whole = seen["random"], seen["groups"]
    assert [image.id for image in mixed.images] == [image.id for image in whole.images]
    assert {image.source for image in mixed.images} == {"movie"}
    sizes = [len(made.on(Side.VALID)) for made in (mixed, whole)]
    assert abs(sizes[0] - sizes[1]) <= 3
    assert {image.id for image in mixed.on(Side.VALID)} != {image.id for image in whole.on(Side.VALID)}
    assert neighbours(mixed) > 0.8
    assert neighbours(whole) == 0
    proofs = [certify(made).summary for made in (mixed, whole)]
    assert [proof.certified for proof in proofs] == [False, True]
    assert proofs[0].shared_scenes > 20
