"""What the API of ingest lets in, and its lists, on a real database and real storage."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reel_shared import jobs
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXTRACT_FRAMES,
    CollectPicturesRequest,
    Counts,
    ExtractFramesRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import Collection, Job

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(
    ("form", "file", "status"),
    [
        ({"label": "Not A Label"}, True, 422),
        ({"label": "kiki", "every_frames": "often"}, True, 422),
        ({}, True, 422),
        ({"label": "kiki"}, False, 400),
    ],
)
def test_uploads_that_do_not_fit(client, bordered, form, file, status, rows):
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
        ("/v1/movies", {"label": "kiki", "key": "movies/a.mp4", "crop_borders": -20}),
        ("/v1/movies", {"label": "kiki", "key": "movies/a.mp4", "crop_borders": 10**9}),
        ("/v1/movies", {"label": "kiki", "key": "movies/a.mp4", "crop_borders": "black"}),
        ("/v1/web-collections", {"label": "kiki"}),
        ("/v1/web-collections", {"label": "kiki", "provider": "zip"}),
        ("/v1/web-collections", {"label": "kiki", "provider": "google", "query": "kiki"}),
    ],
)
def test_requests_that_do_not_fit(client, path, body, rows):
    answer = client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    assert rows(Job) == []


def test_only_keyholders_come_in(client, bordered):
    for path in ("/v1/movies", "/v1/web-collections"):
        assert client.post(path, json={}, headers={"Authorization": ""}).status_code == 401
    assert client.get("/v1/images", headers={"Authorization": ""}).status_code == 401


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


def test_a_key_that_names_nothing_is_refused_at_the_door(client, reel, rows):
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


def test_lists(client, submit, reel, bordered, rows, picture):
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
    assert {i["scene"] for i in frames["data"] + rest["data"]} == {0, 1, 2, 3, 4}
    stored = {row.id: row.pts for row in rows(movie_id=movie)}
    assert {i["id"]: i["pts"] for i in frames["data"] + rest["data"]} == stored
    assert None not in stored.values()
    [drawing] = client.get("/v1/images?source=web&style=sketch").json()["data"]
    assert drawing["collection_id"] == collection
    assert drawing["file"]["url"].startswith("http")
    assert client.get(f"/v1/images/{drawing['id']}").json()["file"]["sha256"] == drawing["file"]["sha256"]
    assert client.get("/v1/images/img_none").status_code == 404
    assert client.get("/v1/images?source=dream").status_code == 422


def test_a_collection_says_what_was_asked_and_what_came_of_it(client):
    counts = Counts(seen=9, kept=4, near_duplicates=1, rejected={"dark": 1}, refused={"http-404": 3})
    with transaction() as session:
        request = CollectPicturesRequest(label="kiki", query="kiki", styles=["", "cosplay"])
        job_id = jobs.submit(session, COLLECT_PICTURES, request).id
        session.add(
            Collection(
                id="col_1", dataset="d", label="kiki", provider="wikimedia", query="kiki", styles=["", "cosplay"],
                since=datetime(2020, 1, 31, tzinfo=UTC), probe="cosplay", counts=counts.model_dump(mode="json"),
                job_id=job_id,
            )
        )  # fmt: skip
    shown = client.get("/v1/web-collections/col_1").json()
    assert client.get("/v1/web-collections").json()["data"] == [shown]
    assert (shown["since"], shown["until"], shown["probe"]) == ("2020-01-31", None, "cosplay")
    assert (shown["styles"], shown["counts"]) == (["", "cosplay"], counts.model_dump(mode="json"))


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
