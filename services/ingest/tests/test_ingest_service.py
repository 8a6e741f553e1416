"""Films and collections over HTTP and as jobs, on a real database and real storage."""

from __future__ import annotations

import io
import json
import zipfile
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as Pillow
from starlette.testclient import TestClient

from reel_ingest import api, catalogue, tasks
from reel_shared import jobs, runner
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXTRACT_FRAMES,
    KINDS,
    CollectPicturesRequest,
    Counts,
    ExtractFramesRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import Collection, Image, Job, Movie
from reel_shared.runner import run_job
from reel_shared.s3 import connect
from reel_shared.security import create_key

pytestmark = pytest.mark.servers
FUNCTIONS = {EXTRACT_FRAMES.name: tasks.extract_frames, COLLECT_PICTURES.name: tasks.collect_pictures}


@pytest.fixture
def run(reel):
    """Run a submitted job as the worker does; gives its row."""

    def do(job_id):
        with transaction() as session:
            kind = KINDS[jobs.get(session, job_id).kind]
        run_job(kind, FUNCTIONS[kind.name], job_id)
        with transaction() as session:
            return session.get(Job, job_id)

    return do


@pytest.fixture
def submit(run):
    def do(kind, request):
        with transaction() as session:
            job_id = jobs.submit(session, kind, request).id
        return run(job_id)

    return do


@pytest.fixture
def client(reel):
    with transaction() as session:
        _, token = create_key(session, "test", ["read", "submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def rows(model=Image, **filters):
    with transaction() as session:
        return list(session.scalars(sa.select(model).filter_by(**filters).order_by(model.id)))


def picture(seed, form="PNG", size=(200, 300)):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)).save(buffer, form)
    return buffer.getvalue()


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(f"{name}.png", data)
    return buffer.getvalue()


# --- films ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bordered(film, draw_frame):
    """Four scenes inside black bars, then half a second of black."""
    pictures = [np.pad(draw_frame(i)[:76], ((12, 12), (0, 0), (0, 0))) for i in range(96)]
    return film("bordered.mp4", [*pictures, *[np.zeros_like(pictures[0])] * 12])


def test_a_film_goes_from_upload_to_frames(client, run, reel, databases, bordered):
    form = {"label": "kiki", "title": "The Film", "every_frames": "12", "metadata": '{"batch": "spring"}'}
    answer = client.post("/v1/movies", data=form, files={"file": ("film.mp4", bordered.read_bytes())})
    assert answer.status_code == 202, answer.text
    assert answer.json()["metadata"] == {"batch": "spring"}
    job = run(answer.json()["id"])
    assert job.error is None
    result = job.result
    assert result["crop"] == [14, 0, 14, 0]
    assert (result["scenes"], result["width"], result["height"], result["codec"]) == (5, 160, 100, "h264")
    counts = result["counts"]
    assert counts["seen"] == 9
    assert counts["refused"] == {"dark": 1}
    assert counts["kept"] + counts["near_duplicates"] == 8
    assert counts["kept"] >= 4

    [movie] = rows(Movie)
    assert (movie.id, movie.title, movie.crop) == (result["movie_id"], "The Film", [14, 0, 14, 0])
    images = rows()
    assert len(images) == counts["kept"]
    assert {image.scene for image in images} == {0, 1, 2, 3}
    assert job.progress_message == f"{counts['kept']} frames kept"
    assert (job.progress_done, job.progress_total, job.progress_unit) == (4, 4, "seconds of film")
    for image in images:
        assert (image.label, image.source, image.movie_id) == ("kiki", "movie", movie.id)
        assert image.time_seconds == pytest.approx(image.frame_index / 24)
        assert image.scene == image.frame_index // 24
        stored = Pillow.open(
            io.BytesIO(reel.storage.get_bytes(image.key, max_bytes=10**6, sha256=image.sha256))
        )
        assert stored.size == (image.width, image.height) == (160, 72)


def test_the_same_film_again_adds_nothing(submit, reel, bordered):
    key = reel.storage.put_file("movies", bordered, "video/mp4", ".mp4").key
    request = ExtractFramesRequest(label="kiki", key=key, every_frames=24)
    first = submit(EXTRACT_FRAMES, request).result["counts"]
    second = submit(EXTRACT_FRAMES, request).result["counts"]
    assert first["kept"] == 4
    assert second["kept"] == 0
    assert second["exact_duplicates"] == 4
    assert len(rows()) == 4


def test_crop_and_size_as_asked(submit, reel, bordered):
    key = reel.storage.put_file("movies", bordered, "video/mp4", ".mp4").key
    request = ExtractFramesRequest(
        label="kiki", key=key, every_seconds=2, crop_borders=20, width=60, height=60, keep_aspect=False
    )
    assert submit(EXTRACT_FRAMES, request).result["crop"] == [20, 20, 20, 20]
    assert {(image.width, image.height) for image in rows()} == {(60, 60)}


def test_no_film_fails_for_good_with_a_reason(submit, reel):
    key = reel.storage.put_bytes("movies", b"not a film" * 100, "video/mp4", ".mp4").key
    job = submit(EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key=key))
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error["type"] == "urn:reelsight:problem:bad-movie"
    missing = submit(EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key="movies/nothing.mp4"))
    assert missing.error["type"] == "urn:reelsight:problem:not-found"
    assert rows() == rows(Movie) == []


def test_a_canceled_film_leaves_no_rows(reel, bordered):
    key = reel.storage.put_file("movies", bordered, "video/mp4", ".mp4").key
    with transaction() as session:
        job_id = jobs.submit(session, EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key=key)).id

    def canceled_meanwhile(context, request):
        with transaction() as session:
            jobs.cancel(session, job_id)
        return tasks.extract_frames(context, request)

    assert run_job(EXTRACT_FRAMES, canceled_meanwhile, job_id) == "canceled"
    assert rows() == rows(Movie) == []


@pytest.mark.parametrize(
    ("form", "file", "status"),
    [
        ({"label": "Not A Label"}, True, 422),
        ({"label": "kiki", "every_frames": "often"}, True, 422),
        ({}, True, 422),
        ({"label": "kiki"}, False, 400),
    ],
)
def test_uploads_that_do_not_fit(client, bordered, form, file, status):
    files = {"file": ("film.mp4", bordered.read_bytes())} if file else {"other": ("a", b"")}
    answer = client.post("/v1/movies", data=form, files=files)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert rows(Job) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/movies", {"label": "kiki"}),
        ("/v1/movies", {"label": "kiki", "key": "movies/a.mp4", "every_frames": 12, "every_seconds": 2}),
        ("/v1/movies", {"label": "kiki", "key": "../secret"}),
        ("/v1/movies", {"label": "kiki", "key": "movies/a.mp4", "colour": "red"}),
        ("/v1/web-collections", {"label": "kiki"}),
        ("/v1/web-collections", {"label": "kiki", "provider": "zip"}),
        ("/v1/web-collections", {"label": "kiki", "provider": "google", "query": "kiki"}),
    ],
)
def test_requests_that_do_not_fit(client, path, body):
    answer = client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    assert rows(Job) == []


def test_only_keyholders_come_in(client, bordered):
    for path in ("/v1/movies", "/v1/web-collections"):
        assert client.post(path, json={}, headers={"Authorization": ""}).status_code == 401
    assert client.get("/v1/images", headers={"Authorization": ""}).status_code == 401


# --- web collections --------------------------------------------------------------------------------------------


def test_openverse_pictures_keep_their_licences(client, run, reel, databases, server):
    pictures = {
        "/1.png": picture(1),
        "/2.jpg": picture(2, "JPEG"),
        "/again.png": picture(1),
        "/bad.jpg": b"<html>",
    }
    for path, data in pictures.items():
        server.pages[path] = lambda h, data=data: h.answer(body=data)

    def search(handler):
        assert parse_qs(urlsplit(handler.path).query)["q"] == ["kiki fanart"]
        results = [
            {
                "url": server.url(path),
                "title": path,
                "creator": "A",
                "license": "by",
                "license_version": "4.0",
            }
            for path in pictures
        ]
        handler.answer(body=json.dumps({"page_count": 1, "results": results}).encode())

    server.pages["/v1/images/"] = search
    reel.configure(
        ingest__openverse_url=server.url(""),
        ingest__allowed_hosts=json.dumps([server.host]),
        ingest__fetches_per_host_per_second=1000,
    )
    answer = client.post("/v1/web-collections", json={"label": "kiki", "query": "kiki", "style": "fanart"})
    assert answer.status_code == 202, answer.text
    result = run(answer.json()["id"]).result
    assert result["counts"] == {
        "seen": 4, "kept": 2, "exact_duplicates": 1, "near_duplicates": 0, "refused": {"not-a-picture": 1}
    }  # fmt: skip
    assert result["licences"] == {"CC BY 4.0": 2}
    [collection] = rows(Collection)
    assert (collection.id, collection.query, collection.style) == (result["collection_id"], "kiki", "fanart")
    assert {(i.title, i.creator, i.licence, i.style, i.media_type) for i in rows()} == {
        ("/1.png", "A", "CC BY 4.0", "fanart", "image/png"),
        ("/2.jpg", "A", "CC BY 4.0", "fanart", "image/jpeg"),
    }
    assert {reel.storage.get_bytes(image.key, max_bytes=10**6) for image in rows()} == {
        picture(1),
        picture(2, "JPEG"),
    }
    follow_up = rows(Job, kind="augment.make_variants")
    assert [job.request["collection_id"] for job in follow_up] == [collection.id]


def test_a_private_address_is_refused_by_default(submit, server):
    server.pages["/1.png"] = lambda h: h.answer(body=picture(1))
    request = CollectPicturesRequest(label="kiki", provider="urls", urls=[server.url("/1.png")])
    job = submit(COLLECT_PICTURES, request)
    assert job.result["counts"]["refused"] == {"private-address": 1}
    assert (job.progress_done, job.progress_total, job.progress_message) == (1, 1, "0 pictures kept")
    assert server.asked == []


@pytest.mark.parametrize(("limit", "total"), [(200, 14), (5, 5)])
def test_the_progress_of_a_list_is_out_of_its_length(reel, monkeypatch, limit, total):
    urls = [f"http://127.0.0.1:1/{i}.png" for i in range(14)]
    request = CollectPicturesRequest(label="kiki", provider="urls", urls=urls, limit=limit)
    told = []
    monkeypatch.setattr(
        runner.Context, "progress", lambda _self, done, total=None, **_words: told.append((done, total))
    )
    with transaction() as session:
        job_id = jobs.submit(session, COLLECT_PICTURES, request).id
    assert run_job(COLLECT_PICTURES, tasks.collect_pictures, job_id) == "succeeded"
    assert told == [*[(done, total) for done in range(1, total + 1)], (total, total)]


def test_a_zip_comes_in_by_form(client, run):
    content = zipped(a=picture(1), b=picture(2), c=b"no picture")
    form = {"label": "kiki", "provider": "zip", "licence": "CC0 1.0", "augment": "false"}
    answer = client.post("/v1/web-collections", data=form, files={"file": ("pictures.zip", content)})
    assert answer.status_code == 202, answer.text
    result = run(answer.json()["id"]).result
    assert result["counts"]["kept"] == 2
    assert result["counts"]["refused"] == {"not-a-picture": 1}
    assert result["licences"] == {"CC0 1.0": 2}
    assert [job.kind for job in rows(Job)] == [COLLECT_PICTURES.name]


def test_a_folder_in_storage(submit, reel):
    for i in range(3):
        reel.storage.put_at(f"drop/kiki/{i}.png", picture(i), "image/png")
    reel.storage.put_at("drop/kiki-2/9.png", picture(9), "image/png")
    reel.configure(limits__picture_bytes=len(picture(0)) + 5_000)
    reel.storage.put_at("drop/kiki/large.png", bytes(2_000_000), "image/png")
    request = CollectPicturesRequest(label="kiki", provider="folder", folder="drop/kiki", limit=100)
    result = submit(COLLECT_PICTURES, request).result
    assert result["counts"]["kept"] == 3
    assert result["counts"]["refused"] == {"too-many-bytes": 1}
    assert result["licences"] == {"unknown": 3}


def test_a_name_that_is_no_key_is_refused_alone(submit, reel, s3, bucket):
    reel.storage.put_at("drop/kiki/1.png", picture(1), "image/png")
    data = picture(2)
    connect(reel.settings.s3, s3.endpoint).put_object(
        bucket, "drop/kiki/my picture.png", io.BytesIO(data), len(data)
    )
    request = CollectPicturesRequest(label="kiki", provider="folder", folder="drop/kiki")
    counts = submit(COLLECT_PICTURES, request).result["counts"]
    assert (counts["kept"], counts["refused"]) == (1, {"bad-name": 1})


def test_a_folder_with_nothing_in_it_fails_with_a_sentence(submit, reel):
    reel.storage.put_at("drop/kiki-2/9.png", picture(9), "image/png")
    job = submit(
        COLLECT_PICTURES, CollectPicturesRequest(label="kiki", provider="folder", folder="drop/kiki")
    )
    assert (job.state, job.attempt, job.error["status"]) == ("failed", 1, 422)
    assert job.error["detail"].startswith("Nothing lies under drop/kiki/")


@pytest.mark.parametrize(
    "folder", ["uploads", "uploads/ab", "frames/", "/drop", "drop/../uploads", "drop//x", "dropped/x"]
)
def test_other_peoples_files_are_no_folder(client, folder):
    body = {"label": "kiki", "provider": "folder", "folder": folder}
    answer = client.post("/v1/web-collections", json=body)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["pointer"] == "#/folder"
    assert error["detail"].startswith("Name a folder under drop/, such as drop/kiki;")


def test_a_key_that_names_nothing_is_refused_at_the_door(client, reel):
    film = {"label": "kiki", "key": "uploads/00/missing.mp4"}
    pack = {"label": "kiki", "provider": "zip", "key": "uploads/00/missing.zip"}
    for path, body in (("/v1/movies", film), ("/v1/web-collections", pack)):
        answer = client.post(path, json=body)
        assert (answer.status_code, body["key"] in answer.json()["detail"]) == (404, True)
    reel.configure(s3__endpoint="127.0.0.1:1")
    away = client.post("/v1/movies", json=film)
    assert (away.status_code, away.json()["type"]) == (503, "urn:reelsight:problem:storage-unavailable")
    assert "retry-after" in away.headers
    assert rows(Job) == []


def test_what_one_class_has_another_does_not_get_again(submit, reel):
    reel.storage.put_at("drop/a/1.png", picture(1), "image/png")
    reel.storage.put_at("drop/b/1.jpg", picture(1, "JPEG"), "image/jpeg")
    first = CollectPicturesRequest(label="kiki", provider="folder", folder="drop/a")
    second = CollectPicturesRequest(label="howl", provider="folder", folder="drop/b")
    elsewhere = CollectPicturesRequest(dataset="other", label="howl", provider="folder", folder="drop/b")
    assert submit(COLLECT_PICTURES, first).result["counts"]["kept"] == 1
    assert submit(COLLECT_PICTURES, second).result["counts"]["near_duplicates"] == 1
    assert submit(COLLECT_PICTURES, elsewhere).result["counts"]["kept"] == 1


def test_a_picture_that_another_job_added_meanwhile_is_left_to_it(submit, reel, databases):
    reel.storage.put_at("drop/a/1.png", picture(1), "image/png")
    reel.storage.put_at("drop/a/2.png", picture(2), "image/png")
    request = CollectPicturesRequest(label="kiki", provider="folder", folder="drop/a", augment=False)
    submit(COLLECT_PICTURES, request)
    [first, second] = rows()
    with transaction() as session:
        job_id = jobs.submit(session, COLLECT_PICTURES, request).id
        collection = Collection(
            id="col_late", dataset="default", label="kiki", provider="folder", job_id=job_id
        )
        base = {c.key: getattr(first, c.key) for c in sa.inspect(Image).column_attrs}
        late = [{**base, "id": "img_late"}, {**base, "id": "img_new", "sha256": "0" * 64}]
        counts = Counts(seen=2, kept=2)
        catalogue.write(session, collection, late, counts)
    assert (counts.kept, counts.exact_duplicates) == (1, 1)
    assert {row.id for row in rows()} == {first.id, second.id, "img_new"}


# --- lists --------------------------------------------------------------------------------------------------------


def test_lists(client, submit, reel, bordered):
    key = reel.storage.put_file("movies", bordered, "video/mp4", ".mp4").key
    movie = submit(EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key=key, every_frames=24)).result[
        "movie_id"
    ]
    reel.storage.put_at("drop/a/1.png", picture(1), "image/png")
    request = CollectPicturesRequest(label="howl", provider="folder", folder="drop/a", style="sketch")
    collection = submit(COLLECT_PICTURES, request).result["collection_id"]

    assert [m["id"] for m in client.get("/v1/movies").json()["data"]] == [movie]
    assert [c["id"] for c in client.get("/v1/web-collections?label=howl").json()["data"]] == [collection]
    frames = client.get("/v1/images", params={"movie_id": movie, "limit": 3}).json()
    assert len(frames["data"]) == 3
    rest = client.get("/v1/images", params={"cursor": frames["next_cursor"]}).json()
    assert {i["scene"] for i in frames["data"] + rest["data"]} == {0, 1, 2, 3}
    [drawing] = client.get("/v1/images?source=web&style=sketch").json()["data"]
    assert drawing["collection_id"] == collection
    assert drawing["file"]["url"].startswith("http")
    assert client.get(f"/v1/images/{drawing['id']}").json()["file"]["sha256"] == drawing["file"]["sha256"]
    assert client.get("/v1/images/img_none").status_code == 404
    assert client.get("/v1/images?source=dream").status_code == 422


def test_the_api_is_described_and_light(client):
    paths = client.get("/openapi.json").json()["paths"]
    body = paths["/v1/movies"]["post"]["requestBody"]["content"]
    assert "every_frames" in body["application/json"]["schema"]["properties"]
    assert body["multipart/form-data"]["schema"]["properties"]["file"]["format"] == "binary"


def test_the_api_imports_no_decoder():
    import subprocess
    import sys

    check = "import sys, reel_ingest.api; print([m for m in ('av', 'cv2', 'torch', 'celery') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    loaded = found.stdout.strip()
    assert "av" not in loaded
    assert "cv2" not in loaded
    assert "torch" not in loaded
