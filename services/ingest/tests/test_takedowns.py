"""Pictures taken down for good: rows, files, versions and models; and storage that fails in between."""

from __future__ import annotations

import json
import threading

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from reel_ingest import admission, api
from reel_ingest.tasks.takedowns import take_down_pictures
from reel_shared import object_storage
from reel_shared.contracts import TAKE_DOWN_PICTURES
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, Image, Job, Takedown, TrainedModel
from reel_shared.errors import StorageUnavailable
from reel_shared.runner import run_job
from reel_shared.security import create_key

pytestmark = pytest.mark.servers


@pytest.fixture
def client(reel):
    with transaction() as session:
        _, token = create_key(session, "test", ["read", "submit", "admin"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture
def picture(reel, add):
    """Add a picture whose file stands in storage: its content is ``data`` or its name."""

    def do(name, data=None, **fields):
        stored = reel.storage.put_bytes("pictures", (data or name).encode(), "image/jpeg", ".jpg")
        image_id = add(name, key=stored.key, **fields)
        with transaction() as session:
            session.get(Image, image_id).sha256 = stored.sha256
        return image_id

    return do


@pytest.fixture
def version(reel, add):
    """A dataset version that holds pictures, with a model of it."""

    def do(version_id, *image_ids, dataset="d"):
        manifest = json.dumps({"images": [{"id": name} for name in image_ids]}).encode()
        stored = reel.storage.put_bytes("manifests", manifest, "application/json", ".json")
        report = {
            name: reel.storage.put_bytes("models", f"{name} of {version_id}".encode(), "text/html")
            for name in ("report.html", "report.json")
        }
        with transaction() as session:
            job_id = session.scalars(sa.select(Job.id)).first()
            session.add(
                DatasetVersion(
                    id=version_id, dataset=dataset, manifest=stored.model_dump(mode="json"), counts={}, classes=[],
                    manifest_sha256=stored.sha256, certificate={}, job_id=job_id,
                )
            )  # fmt: skip
            session.flush()
            session.add(
                TrainedModel(
                    id=f"mdl_{version_id}", dataset_version_id=version_id, architecture="a", recipe="r", card={},
                    files={name: file.model_dump(mode="json") for name, file in report.items()}, metrics={},
                    job_id=job_id,
                )
            )  # fmt: skip

    return do


def take_down(client, status=202, **body):
    answer = client.post("/v1/takedowns", json={"reason": "asked for", **body})
    assert answer.status_code == status, answer.text
    return answer.json()


def run(job):
    run_job(TAKE_DOWN_PICTURES, take_down_pictures, job["id"])
    with transaction() as session:
        return session.get(Job, job["id"])


def get(model, row_id):
    with transaction() as session:
        return session.get(model, row_id)


def exists(reel, *image_ids):
    return [reel.storage.exists(get(Image, name).key) for name in image_ids]


def test_a_picture_goes_with_its_variants_and_whoever_used_it_is_marked(
    client, reel, picture, version, databases
):
    a, b = picture("a", url="https://x.org/a.jpg"), picture("b")
    log, shared = (
        picture("log", variant="log", parent_id=a),
        picture("s", "same", variant="invert", parent_id=a),
    )
    other = picture("o", "same", variant="invert", parent_id=b)
    copy, alike = picture("c", "a", dataset="e"), picture("n", state="duplicate", duplicate_of=a)
    version("dsv_1", a, log, b)
    version("dsv_2", b)
    version("dsv_3", copy, dataset="e")

    pages = [
        get(TrainedModel, f"mdl_{name}").files["report.html"]["key"] for name in ("dsv_1", "dsv_2", "dsv_3")
    ]

    job = take_down(client, url="https://x.org/a.jpg")
    assert [get(Image, name).state for name in (a, log, shared, copy)] == ["removed"] * 4
    assert exists(reel, a, log) == [True, True], "the rows come first"
    listed = client.get("/v1/takedowns").json()["data"]
    assert {row["image_id"]: row["finished_at"] for row in listed} == {a: None, copy: None}

    ended = run(job)
    assert ended.error is None, ended.error
    assert exists(reel, a, log, shared) == [False, False, True], "another picture lies in the same file"
    assert exists(reel, b, other, alike) == [True] * 3
    assert [get(Image, name).state for name in (b, other, alike)] == ["active", "active", "duplicate"]
    result = ended.result
    assert (result["images"], result["variants"], result["objects"]) == ([a, copy], 2, 2)
    assert result["look_alikes"] == [alike]
    assert result["dataset_versions"] == ["dsv_1", "dsv_3"]
    assert result["models"] == ["mdl_dsv_1", "mdl_dsv_3"]
    assert [reel.storage.exists(key) for key in pages] == [False, True, False], "a report shows pictures"
    assert [list(get(TrainedModel, f"mdl_{name}").files) for name in ("dsv_1", "dsv_2")] == [
        ["report.json"],
        ["report.html", "report.json"],
    ]
    by_image = {row["image_id"]: row for row in client.get("/v1/takedowns").json()["data"]}
    assert (
        get(DatasetVersion, "dsv_1").takedowns
        == get(TrainedModel, "mdl_dsv_1").takedowns
        == [by_image[a]["id"]]
    )
    assert get(DatasetVersion, "dsv_2").takedowns == get(TrainedModel, "mdl_dsv_2").takedowns == []
    assert by_image[a]["finished_at"] is not None
    assert (by_image[a]["url"], by_image[a]["reason"]) == ("https://x.org/a.jpg", "asked for")
    assert by_image[a]["by"].startswith("key_")


def test_a_picture_that_just_comes_in_goes_too(client, reel, picture, databases):
    a = picture("a")
    job = take_down(client, image_id=a)
    here, ended = threading.Event(), threading.Event()

    def come_in():
        with transaction() as session:
            admission.enter(session, "e")
            row = session.get_one(Image, a)
            facts = {column.key: getattr(row, column.key) for column in sa.inspect(Image).column_attrs}
            session.execute(
                sa.insert(Image), [{**facts, "id": "img_late", "dataset": "e", "state": "active"}]
            )
            here.set()
            assert not ended.wait(1), "the take-down waits for it"

    thread = threading.Thread(target=come_in)
    thread.start()
    here.wait()
    result = run(job).result
    ended.set()
    thread.join()
    assert result["images"] == [a, "img_late"]
    assert get(Image, "img_late").state == "removed"


def test_nothing_brings_it_back(client, reel, picture):
    a = picture("a")
    batch = client.post("/v1/image-changes", json={"image_ids": [a], "set": {"state": "rejected"}}).json()
    run(take_down(client, image_id=a))
    [gone, _] = client.get(f"/v1/images/{a}/changes").json()["data"]
    assert (gone["before"], gone["after"], gone["reason"]) == ("rejected", "removed", "taken-down")
    answer = client.post(f"/v1/image-changes/{gone['batch_id']}/undo")
    assert answer.status_code == 409
    assert "nothing brings it back" in answer.json()["detail"]
    assert client.post(f"/v1/image-changes/{batch['batch_id']}/undo").json()["skipped"] == 1
    assert get(Image, a).state == "removed"


def test_storage_that_fails_in_between_is_noticed_and_finished(client, reel, picture, version, monkeypatch):
    a = picture("a")
    v = picture("v", variant="log", parent_id=a)
    version("dsv_1", a)
    deleted = []
    delete = object_storage.Storage.delete

    def once(storage, key):
        if deleted:
            raise StorageUnavailable("Storage does not answer.")
        deleted.append(key)
        delete(storage, key)

    job = take_down(client, image_id=v)
    with monkeypatch.context() as patch:
        patch.setattr(object_storage.Storage, "delete", once)
        waiting = run(job)
    assert (waiting.state, waiting.attempt) == ("running", 1), "it is tried again"
    assert sorted(exists(reel, a, v)) == [False, True]
    assert [row["finished_at"] for row in client.get("/v1/takedowns").json()["data"]] == [None]
    assert get(DatasetVersion, "dsv_1").takedowns == []
    # a repeated call finishes, whatever becomes of the first job
    again = run(take_down(client, image_id=a))
    assert again.state == "succeeded"
    assert exists(reel, a, v) == [False, False]
    [row] = client.get("/v1/takedowns").json()["data"]
    assert row["finished_at"] is not None
    assert get(DatasetVersion, "dsv_1").takedowns == [row["id"]]
    assert len(client.get(f"/v1/images/{a}/changes").json()["data"]) == 1


def test_a_page_takes_all_its_pictures_along(client, picture):
    names = [picture(name, page_url="https://x.org/page") for name in "ab"]
    other = picture("c", page_url="https://x.org/other")
    assert run(take_down(client, page_url="https://x.org/page")).result["images"] == names
    assert get(Image, other).state == "active"


def test_a_version_without_its_manifest_stops_nothing(client, reel, picture, version):
    a = picture("a")
    version("dsv_1", a)
    reel.storage.delete(get(DatasetVersion, "dsv_1").manifest["key"])
    assert run(take_down(client, image_id=a)).state == "succeeded"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"image_id": "img_a", "url": "https://x.org"}, 422),
        ({"image_id": "img_a", "reason": ""}, 422),
        ({"url": ""}, 422),
        ({"image_id": "img_none"}, 404),
        ({"url": "https://x.org/none.jpg"}, 404),
        ({"page_url": "https://x.org/none"}, 404),
    ],
)
def test_take_downs_that_do_not_fit(client, picture, body, status):
    a = picture("a")
    take_down(client, status, **body)
    assert get(Image, a).state == "active"
    with transaction() as session:
        assert session.scalars(sa.select(Takedown)).all() == []


def test_only_an_admin_takes_down(client, picture):
    a = picture("a")
    with transaction() as session:
        _, token = create_key(session, "other", ["read", "submit"])
    headers = {"Authorization": f"Bearer {token}"}
    body = {"image_id": a, "reason": "x"}
    assert client.post("/v1/takedowns", json=body, headers=headers).status_code == 403
    assert client.get("/v1/takedowns", headers=headers).status_code == 403
    assert get(Image, a).state == "active"
