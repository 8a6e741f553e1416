"""The job that collects web pictures, on a real database and real storage."""

from __future__ import annotations

import base64
import io
import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from reel_ingest import tasks
from reel_shared import jobs, runner
from reel_shared.contracts import COLLECT_PICTURES, CollectPicturesRequest
from reel_shared.db.engine import transaction
from reel_shared.db.models import Collection, Job
from reel_shared.runner import run_job
from reel_shared.s3 import connect

pytestmark = pytest.mark.servers


def test_openverse_pictures_keep_their_licences(client, run, reel, databases, server, rows, picture):
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
        "seen": 4, "kept": 2, "exact_duplicates": 1, "near_duplicates": 0, "conflicts": 0, "rejected": {},
        "refused": {"not-a-picture": 1},
    }  # fmt: skip
    assert result["licences"] == {"CC BY 4.0": 3}
    [collection] = rows(Collection)
    assert (collection.id, collection.query, collection.style) == (result["collection_id"], "kiki", "fanart")
    assert {(i.title, i.creator, i.licence, i.style, i.media_type) for i in rows(state="active")} == {
        ("/1.png", "A", "CC BY 4.0", "fanart", "image/png"),
        ("/2.jpg", "A", "CC BY 4.0", "fanart", "image/jpeg"),
    }
    assert {reel.storage.get_bytes(image.key, max_bytes=10**6) for image in rows()} == {
        picture(1),
        picture(2, "JPEG"),
    }
    follow_up = rows(Job, kind="augment.make_variants")
    assert [job.request["collection_id"] for job in follow_up] == [collection.id]


def test_a_private_address_is_refused_by_default(submit, server, picture):
    server.pages["/1.png"] = lambda h: h.answer(body=picture(1))
    request = CollectPicturesRequest(label="kiki", provider="urls", urls=[server.url("/1.png")])
    job = submit(COLLECT_PICTURES, request)
    assert job.result["counts"]["refused"] == {"private-address": 1}
    assert (job.progress_done, job.progress_total, job.progress_message) == (1, 1, "0 pictures kept")
    assert server.asked == []


@pytest.mark.parametrize(("limit", "total"), [(None, 14), (200, 14), (5, 5)])
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


@pytest.fixture
def given(reel, zipped):
    """Put so many files that are no pictures where a provider finds them; gives what to ask it for."""
    return lambda provider, count: _given(provider, count, reel, zipped)


def _given(provider, count, reel, zipped):
    """A request's fields that give so many things that are no pictures."""
    if provider == "urls":
        return {"urls": [f"http://127.0.0.1:1/{i}.png" for i in range(count)]}
    if provider == "zip":
        content = zipped({f"{i:05d}.png": b"no picture" for i in range(count)})
        reel.storage.put_at("uploads/many.zip", content, "application/zip")
        return {"key": "uploads/many.zip"}
    for i in range(count):
        reel.storage.put_at(f"drop/many/{i:05d}.png", b"no picture", "image/png")
    return {"folder": "drop/many"}


@pytest.mark.parametrize("provider", ["urls", "zip", "folder"])
def test_what_is_given_is_taken_whole_or_counted(submit, reel, provider, rows, given):
    fields = {"label": "kiki", "provider": provider, "augment": False, **given(provider, 230)}
    reason = "private-address" if provider == "urls" else "not-a-picture"
    whole = submit(COLLECT_PICTURES, CollectPicturesRequest(**fields)).result
    assert (whole["counts"]["seen"], whole["counts"]["refused"]) == (230, {reason: 230})
    part = submit(COLLECT_PICTURES, CollectPicturesRequest(**fields, limit=7))
    assert (part.result["counts"]["seen"], part.result["counts"]["refused"]) == (
        230,
        {reason: 7, "over-limit": 223},
    )
    assert part.result["searches"][0]["candidates"] == 7
    [collection] = rows(Collection, id=part.result["collection_id"])
    assert collection.counts == part.result["counts"]


def test_a_zip_comes_in_by_form(client, run, rows, picture, zipped):
    content = zipped({"a.png": picture(1), "b.png": picture(2), "c.png": b"no picture"})
    form = {"label": "kiki", "provider": "zip", "licence": "CC0 1.0", "augment": "false"}
    answer = client.post("/v1/web-collections", data=form, files={"file": ("pictures.zip", content)})
    assert answer.status_code == 202, answer.text
    result = run(answer.json()["id"]).result
    assert result["counts"]["kept"] == 2
    assert result["counts"]["refused"] == {"not-a-picture": 1}
    assert result["licences"] == {"CC0 1.0": 2}
    assert [job.kind for job in rows(Job)] == [COLLECT_PICTURES.name]


def test_a_folder_in_storage(submit, reel, picture):
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


def test_a_name_that_is_no_key_is_refused_alone(submit, reel, s3, bucket, picture):
    reel.storage.put_at("drop/kiki/1.png", picture(1), "image/png")
    data = picture(2)
    connect(reel.settings.s3, s3.endpoint).put_object(
        bucket, "drop/kiki/my picture.png", io.BytesIO(data), len(data)
    )
    request = CollectPicturesRequest(label="kiki", provider="folder", folder="drop/kiki")
    counts = submit(COLLECT_PICTURES, request).result["counts"]
    assert (counts["kept"], counts["refused"]) == (1, {"bad-name": 1})


def test_a_folder_with_nothing_in_it_fails_with_a_sentence(submit, reel, picture):
    reel.storage.put_at("drop/kiki-2/9.png", picture(9), "image/png")
    job = submit(
        COLLECT_PICTURES, CollectPicturesRequest(label="kiki", provider="folder", folder="drop/kiki")
    )
    assert (job.state, job.attempt, job.error["status"]) == ("failed", 1, 422)
    assert job.error["detail"].startswith("Nothing lies under drop/kiki/")


@pytest.mark.parametrize("bars_first", [False, True])
def test_copies_with_bars_negatives_and_other_labels(submit, reel, bars_first, rows, picture):
    plain = Pillow.open(io.BytesIO(picture(1)))
    barred = Pillow.new("RGB", (300, 280))
    barred.paste(plain, (0, 40))
    copies = [(barred, "JPEG"), (plain, "PNG")] if bars_first else [(plain, "PNG"), (barred, "JPEG")]
    copies += [(ImageOps.invert(plain), "PNG"), (ImageOps.invert(barred), "JPEG")]
    for number, (copy, form) in enumerate(copies):
        buffer = io.BytesIO()
        copy.save(buffer, form)
        reel.storage.put_at(f"drop/a/{number}.{form.lower()}", buffer.getvalue(), f"image/{form.lower()}")
        reel.storage.put_at(f"drop/b/{number}.{form.lower()}", buffer.getvalue(), f"image/{form.lower()}")
    request = CollectPicturesRequest(label="kiki", provider="folder", folder="drop/a")
    counts = submit(COLLECT_PICTURES, request).result["counts"]
    assert (counts["seen"], counts["kept"], counts["near_duplicates"]) == (4, 1, 3)
    assert [row.state_reason for row in rows()] == [
        "",
        "near-duplicate",
        "inverted-duplicate",
        "inverted-duplicate",
    ]
    other = CollectPicturesRequest(label="howl", provider="folder", folder="drop/b")
    counts = submit(COLLECT_PICTURES, other).result["counts"]
    assert (counts["kept"], counts["conflicts"], counts["near_duplicates"]) == (0, 1, 3)
    assert rows(state="active") == []


def test_what_timed_out_is_fetched_again_alone(client, run, reel, server, rows, picture):
    slow = iter([True])

    def picture_page(handler, data):
        if handler.path == "/2.png" and next(slow, False):
            time.sleep(1.5)
        handler.answer(body=data)

    for number in (1, 2):
        server.pages[f"/{number}.png"] = lambda h, data=picture(number): picture_page(h, data)
    reel.configure(
        ingest__allowed_hosts=json.dumps([server.host]),
        ingest__fetches_per_host_per_second=1000,
        ingest__fetch_seconds=1,
    )
    urls = [server.url(f"/{number}.png") for number in (1, 2, 3)]
    body = {"label": "kiki", "provider": "urls", "urls": urls}
    first = run(client.post("/v1/web-collections", json=body).json()["id"]).result
    assert first["counts"]["refused"] == {"http-404": 1, "timeout": 1}
    assert client.get(f"/v1/web-collections/{first['collection_id']}").json()["counts"] == first["counts"]

    server.asked.clear()
    again = client.post(f"/v1/web-collections/{first['collection_id']}/retry")
    assert again.status_code == 202, again.text
    second = run(again.json()["id"]).result
    assert server.asked == ["/2.png"]
    assert (second["counts"]["seen"], second["counts"]["kept"]) == (1, 1)
    assert {row.url for row in rows(state="active")} == set(urls[:2])
    [kept] = rows(collection_id=second["collection_id"])
    assert kept.url == urls[1]


def cursor(content):
    return base64.urlsafe_b64encode(content if isinstance(content, bytes) else json.dumps(content).encode())


def test_refusals_are_listed_page_by_page_and_foreign_cursors_refused(client, submit, reel, given):
    request = CollectPicturesRequest(label="kiki", provider="folder", **given("folder", 5), augment=False)
    name = submit(COLLECT_PICTURES, request).result["collection_id"]
    path = f"/v1/web-collections/{name}/refusals"
    first = client.get(path, params={"limit": 3}).json()
    rest = client.get(path, params={"cursor": first["next_cursor"]}).json()
    found = [*first["data"], *rest["data"]]
    assert [(one["reason"], one["transient"]) for one in found] == [("not-a-picture", False)] * 5
    assert (len({one["url"] for one in found}), rest["next_cursor"]) == (5, None)
    foreign = (
        *(
            b"[" * 40_000,
            b"[1]",
            [1, "col_other", None],
            [10**30, name, None],
            [-1, name, None],
            [True, name],
        ),
        *([1.5, name, None], [1, name, ["x"]], [1, name, "\ud800"], [1, name, "\x00"]),
    )
    for content in foreign:
        answer = client.get(path, params={"cursor": cursor(content)})
        assert (answer.status_code, "start again" in answer.text) == (400, True), content
