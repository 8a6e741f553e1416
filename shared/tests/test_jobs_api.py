"""Jobs over HTTP: accepted whatever the broker does, polled, waited for, streamed, canceled, listed; uploads."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Annotated, Any

import anyio
import httpx
import numpy as np
import pytest
import redis
import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, Request
from PIL import Image
from safetensors.numpy import save
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reel_shared import contracts, jobs
from reel_shared.contracts import (
    EXTRACT_FRAMES,
    MAKE_VARIANTS,
    ExtractFramesRequest,
    MakeVariantsRequest,
    StoredFile,
)
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Job, OutboxMessage, utcnow
from reel_shared.errors import DatabaseUnavailable, NotFound, StorageUnavailable
from reel_shared.sent import notes
from reel_shared.testing.stack import Reel
from reel_shared.web import events, polls, waiting
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Principal, require
from reel_shared.web.media import sniff
from reel_shared.web.requests import large_body
from reel_shared.web.uploads import largest, read_submission, require_stored


def submit(client: httpx.Client, **headers: str) -> dict[str, Any]:
    answer = client.post("/v1/variants", json={"dataset": "d", "metadata": {"batch": 7}}, headers=headers)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


# --- accepting --------------------------------------------------------------------------------------------


def test_a_submit_answers_202_with_the_envelope(databases: str, api: Any) -> None:
    answer = api.client("submit").post("/v1/variants", json={"dataset": "d", "metadata": {"batch": 7}})
    job = answer.json()
    path = f"/v1/jobs/{job['id']}"
    assert (answer.status_code, answer.headers["location"], answer.headers["retry-after"]) == (202, path, "1")
    created_at = job.pop("created_at")
    assert created_at.endswith("Z")
    assert job == {
        "id": job["id"],
        "kind": "augment.make_variants",
        "state": "queued",
        "attempt": 0,
        "progress": {"done": 0, "total": None, "unit": "", "message": ""},
        "request": MakeVariantsRequest(dataset="d").model_dump(mode="json"),
        "result": None,
        "error": None,
        "started_at": None,
        "finished_at": None,
        "parent_id": None,
        "part": None,
        "urls": {"self": path, "cancel": f"{path}/cancel", "events": f"{path}/events"},
        "metadata": {"batch": 7},
    }


def test_a_broker_that_is_away_delays_but_loses_nothing(databases: str, api: Any) -> None:
    job = submit(api.client("submit"))
    with reading() as session:
        assert session.scalars(sa.select(OutboxMessage.job_id)).all() == [job["id"]]


def test_the_message_reaches_the_broker(reel: Reel, api: Any, redis_url: str) -> None:
    job = submit(api.client("submit"))
    with redis.Redis.from_url(redis_url) as broker:
        assert job["id"].encode() in broker.lrange("augment", 0, -1)[0]
    notes.write()
    with reading() as session:
        assert session.scalars(sa.select(OutboxMessage)).all() == []


# --- reading ----------------------------------------------------------------------------------------------


def test_etags_change_with_what_is_seen(databases: str, api: Any, worker: Any) -> None:
    client = api.client("submit")
    path = submit(client)["urls"]["self"]
    first = client.get(path)
    same = client.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    assert "retry-after" in same.headers
    lease = worker.claim(first.json()["id"])
    worker.progress(lease, 3, 10)
    changed = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.json()["progress"] == {
        "done": 3,
        "total": 10,
        "unit": "pictures",
        "message": "making variants",
    }
    worker.succeed(lease)
    ended = client.get(path, headers={"If-None-Match": changed.headers["etag"]})
    assert (ended.json()["state"], ended.headers["cache-control"]) == ("succeeded", "private, max-age=1800")
    assert "retry-after" not in ended.headers


def test_many_who_poll_share_few_looks_and_none_is_told_what_was_before_it_asked(
    databases: str, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api.client("submit")
    paths = [submit(client)["urls"]["self"] for _ in range(8)]
    looks: list[set[str]] = []
    really_read = polls._read

    def read(job_ids: set[str]) -> dict[str, Any]:
        looks.append(job_ids)
        return really_read(job_ids)

    def poll(number: int) -> int:
        known = {"If-None-Match": 'W/"1"'}
        return int(client.get(paths[number % 8], headers=known).status_code)

    monkeypatch.setattr(polls, "_read", read)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(poll, range(64))) == {304}
    assert len(looks) < 32
    client.post(f"{paths[0]}/cancel")
    assert poll(0) == 200, "a look that began before the cancel must not answer"
    assert poll(1) == 304
    assert client.get("/v1/jobs/job_unknown", headers={"If-None-Match": "*"}).status_code == 404

    def away(job_ids: set[str]) -> dict[str, Any]:
        raise DatabaseUnavailable("The database does not answer; try again in a moment.")

    monkeypatch.setattr(polls, "_read", away)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(poll, range(16))) == {503}
    monkeypatch.setattr(polls, "_read", read)
    assert poll(1) == 304


def test_the_advice_when_to_ask_again_grows_with_age(api: Any) -> None:
    client = api.client("submit")
    path = submit(client)["urls"]["self"]
    advice = []
    for age in (0, 30, 120, 1000):
        with transaction() as session:
            session.execute(sa.update(Job).values(created_at=utcnow() - timedelta(seconds=age)))
        advice.append(client.get(path).headers["retry-after"])
    assert advice == ["1", "2", "5", "10"]


def test_files_in_results_come_with_links_that_work(reel: Reel, api: Any, worker: Any) -> None:
    client = api.client("submit")
    stored = reel.storage.put_bytes("results", b'{"key": 1}\n', "application/x-ndjson", ".jsonl")
    job_id = submit(client)["id"]
    result = contracts.PredictPicturesResult(model="m", count=1, failed=0, results=stored)
    worker.succeed(worker.claim(job_id), result)
    answer = client.get(f"/v1/jobs/{job_id}")
    shown = answer.json()["result"]["results"]
    assert httpx.get(shown["url"], trust_env=False).content == b'{"key": 1}\n'
    assert StoredFile.model_validate(shown).key == stored.key
    # The link runs out, so the same ETag must not stand for ever.
    reel.configure(s3__url_lifetime_seconds=2)
    etags = {client.get(f"/v1/jobs/{job_id}").headers["etag"]}
    time.sleep(1.1)
    assert client.get(f"/v1/jobs/{job_id}").headers["etag"] not in etags


def test_jobs_of_others_do_not_exist_without_read(databases: str, api: Any) -> None:
    mine, visitor = api.client("submit"), api.client()
    own, demo = submit(mine), submit(visitor)
    reader = api.client("read")
    for path in ("", "/events"):
        assert mine.get(f"/v1/jobs/{demo['id']}{path}").status_code == 404
        assert visitor.get(f"/v1/jobs/{own['id']}{path}").status_code == 404
    known = {"If-None-Match": '"1", *'}
    assert mine.get(f"/v1/jobs/{demo['id']}", headers=known).status_code == 404
    assert visitor.get(f"/v1/jobs/{demo['id']}", headers=known).status_code == 304
    for path in ("/cancel", "/replay"):
        assert visitor.post(f"/v1/jobs/{own['id']}{path}").status_code == 404
    assert visitor.get(f"/v1/jobs/{demo['id']}").status_code == 200
    assert reader.get(f"/v1/jobs/{own['id']}").status_code == 200
    assert [job["id"] for job in reader.get("/v1/jobs").json()["data"]] == [demo["id"], own["id"]]
    assert [job["id"] for job in mine.get("/v1/jobs").json()["data"]] == [own["id"]]
    assert reader.get("/v1/jobs/job_0").status_code == 404


def test_lists_are_filtered(api: Any) -> None:
    client = api.client("read", "submit")
    first, second = submit(client), submit(client)
    client.post(first["urls"]["cancel"])
    found = [
        [job["id"] for job in client.get("/v1/jobs", params=params).json()["data"]]
        for params in (
            {"state": "canceled"},
            {"state": "queued"},
            {"kind": "augment.make_variants"},
            {"parent_id": "x"},
        )
    ]
    assert found == [[first["id"]], [second["id"]], [second["id"], first["id"]], []]
    assert client.get("/v1/jobs?state=done").status_code == 422
    assert "trainer.train_model" in client.get("/v1/jobs?kind=train").json()["detail"]
    assert client.get("/v1/jobs?cursor=zzz").status_code == 400


def test_parts_are_listed_with_their_parent_only(api: Any) -> None:
    client = api.client("read", "submit")
    whole = submit(client)
    with transaction() as session:
        part = jobs.submit(
            session, MAKE_VARIANTS, MakeVariantsRequest(), parent_id=whole["id"], part=0, total=5
        )
    assert [job["id"] for job in client.get("/v1/jobs").json()["data"]] == [whole["id"]]
    (shown,) = client.get("/v1/jobs", params={"parent_id": whole["id"]}).json()["data"]
    assert (shown["id"], shown["part"], shown["progress"]["total"]) == (part.id, 0, 5)


# --- waiting ----------------------------------------------------------------------------------------------


def test_a_held_answer_comes_as_soon_as_the_job_ends(databases: str, api: Any, worker: Any) -> None:
    client = api.client("submit")
    job = submit(client)
    lease = worker.claim(job["id"])
    threading.Timer(0.4, worker.succeed, [lease]).start()
    started = time.monotonic()
    answer = client.get(job["urls"]["self"], headers={"Prefer": "respond-async, wait=20"})
    assert 0.3 < time.monotonic() - started < 2
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert answer.headers["preference-applied"] == "wait=20"


def test_a_held_submit_gives_up_with_202(api: Any) -> None:
    started = time.monotonic()
    answer = api.client("submit").post("/v1/variants", json={}, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert 0.9 < time.monotonic() - started < 2


def test_many_held_answers_leave_room_for_others(api: Any) -> None:
    client = api.client("submit")
    with ThreadPoolExecutor(60) as pool:
        held = [
            pool.submit(api.client("submit").post, "/v1/variants", json={}, headers={"Prefer": "wait=3"})
            for _ in range(60)
        ]
        time.sleep(1)
        started = time.monotonic()
        assert client.get("/v1/limits").status_code == 200
        assert time.monotonic() - started < 1.5  # they are held for two more seconds
        assert [answer.result().status_code for answer in held] == [202] * 60


def test_one_look_serves_all_who_wait(api: Any, worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[set[str]] = []
    really_look = waiting._ended

    def counted(job_ids: set[str]) -> set[str]:
        looks.append(set(job_ids))
        return really_look(job_ids)

    monkeypatch.setattr(waiting, "_ended", counted)
    client = api.client("submit")
    held = [submit(client) for _ in range(5)]
    ids = {job["id"] for job in held}
    leases = [worker.claim(job["id"]) for job in held]
    with ThreadPoolExecutor(5) as pool:
        answers = pool.map(lambda job: client.get(job["urls"]["self"], headers={"Prefer": "wait=20"}), held)
        deadline = time.monotonic() + 10
        while ids not in looks and time.monotonic() < deadline:
            time.sleep(0.01)
        began, started = len(looks), time.monotonic()
        for lease in leases:
            worker.succeed(lease)
        assert {answer.json()["state"] for answer in answers} == {"succeeded"}
    assert len(looks) - began <= 5 + (time.monotonic() - started) / 0.015, "one look a pause, for all"
    time.sleep(0.3)
    after = len(looks)
    time.sleep(0.3)
    assert len(looks) == after, "nobody waits, nobody looks"


SERVER = """
import uvicorn
from reel_shared.web.app import create_app
from reel_web.api import router
uvicorn.run(create_app("Test", [router]), port=PORT, log_config=None)
"""


@pytest.mark.chaos
def test_sigterm_ends_held_answers_and_streams_at_once(
    reel_database: Reel, api: Any, unused_port: int
) -> None:
    jobs = [submit(api.client("submit")) for _ in range(2)]
    script = SERVER.replace("PORT", str(unused_port))
    server = subprocess.Popen([sys.executable, "-c", script], env=reel_database.env)
    token = api.token("read")
    try:
        with (
            httpx.Client(base_url=f"http://127.0.0.1:{unused_port}", trust_env=False, timeout=30) as client,
            ThreadPoolExecutor(2) as pool,
        ):
            client.headers["Authorization"] = f"Bearer {token}"
            wait_until_served(client)
            held = pool.submit(client.get, jobs[0]["urls"]["self"], headers={"Prefer": "wait=30"})
            streamed = pool.submit(lambda: list(stream(client, jobs[1])))
            time.sleep(1)
            assert not held.done()
            server.terminate()
            started = time.monotonic()
            assert (held.result().status_code, held.result().json()["state"]) == (200, "queued")
            assert [event["event"] for event in streamed.result()] == ["state"]
            server.wait(10)
            assert time.monotonic() - started < 5
    finally:
        server.kill()
        server.wait()


def wait_until_served(client: httpx.Client) -> None:
    for _ in range(200):
        try:
            client.get("/healthz")
            return
        except httpx.ConnectError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- canceling --------------------------------------------------------------------------------------------


def test_cancel_before_during_and_after(databases: str, api: Any, worker: Any) -> None:
    client = api.client("submit")
    waiting, running, ended = submit(client), submit(client), submit(client)
    answer = client.post(waiting["urls"]["cancel"])
    assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    assert client.post(waiting["urls"]["cancel"]).status_code == 200
    worker.claim(running["id"])
    for _ in range(2):
        answer = client.post(running["urls"]["cancel"])
        assert (answer.status_code, answer.json()["state"]) == (202, "canceling")
    worker.succeed(worker.claim(ended["id"]))
    answer = client.post(ended["urls"]["cancel"])
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:reelsight:problem:conflict")
    assert client.post("/v1/jobs/job_0/cancel").status_code == 404


def test_replay_makes_a_new_job_of_an_ended_one(api: Any) -> None:
    client = api.client("submit")
    job = submit(client)
    assert client.post(f"{job['urls']['self']}/replay").status_code == 409
    client.post(job["urls"]["cancel"])
    answer = client.post(f"{job['urls']['self']}/replay")
    again = answer.json()
    assert (answer.status_code, again["state"], again["request"]) == (202, "queued", job["request"])
    assert answer.headers["location"] == f"/v1/jobs/{again['id']}"
    assert again["metadata"] == {"batch": 7, "replay_of": job["id"]}


# --- events -----------------------------------------------------------------------------------------------


def stream(client: httpx.Client, job: dict[str, Any], **headers: str) -> Iterator[dict[str, Any]]:
    """Yield server-sent events as {event, id, data} until the server closes."""
    with client.stream("GET", job["urls"]["events"], headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line == "" and "data" in event:
                yield event
                event = {}
            elif name in ("event", "id"):
                event[name] = value
            elif name == "data":
                event["data"] = json.loads(value)


def test_a_job_tells_its_life(databases: str, api: Any, worker: Any) -> None:
    client = api.client("submit")
    job = submit(client)

    def live() -> None:
        lease = worker.claim(job["id"])
        for epoch in range(2):
            worker.metric(lease, epoch=epoch, accuracy=0.5)
        for done in range(1, 12):
            worker.progress(lease, done, 11)
            time.sleep(0.1)
        worker.succeed(lease)

    thread = threading.Thread(target=live)
    thread.start()
    started = time.monotonic()
    seen = list(stream(client, job))
    seconds = time.monotonic() - started
    thread.join()
    kinds = [event["event"] for event in seen if event["event"] != "progress"]
    assert kinds == ["state", "state", "metric", "metric", "state", "end"]
    progress = [event["data"]["done"] for event in seen if event["event"] == "progress"]
    assert 2 <= len(progress) <= 2 * seconds + 2
    assert progress == sorted(progress)
    assert progress[-1] == 11
    ids = [int(event["id"]) for event in seen if "id" in event]
    assert ids == sorted(set(ids))
    assert len(ids) == 5
    assert [event["data"]["state"] for event in seen if event["event"] == "state"] == [
        "queued",
        "running",
        "succeeded",
    ]
    assert seen[-1]["data"]["result"]["made"] == {"log": 1}


def test_a_stream_goes_on_where_it_broke(api: Any, worker: Any) -> None:
    client = api.client("submit")
    job = submit(client)
    lease = worker.claim(job["id"])
    worker.metric(lease, epoch=0)
    before = []
    for event in stream(client, job):
        before.append(event)
        if event["event"] == "metric":
            break
    worker.metric(lease, epoch=1)
    worker.succeed(lease)
    after = list(stream(client, job, **{"Last-Event-ID": before[-1]["id"]}))
    assert [event["event"] for event in after] == ["metric", "state", "end"]
    assert after[0]["data"]["epoch"] == 1
    everything = list(stream(client, job, **{"Last-Event-ID": "nonsense"}))
    assert [event["event"] for event in everything] == ["state", "state", "metric", "metric", "state", "end"]
    last = list(stream(client, job, **{"Last-Event-ID": after[-2]["id"]}))
    assert [event["event"] for event in last] == ["end"]


def test_a_stream_closes_after_its_time(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LIFETIME_SECONDS", 0.6)
    client = api.client("submit")
    assert [event["event"] for event in stream(client, submit(client))] == ["state"]


# --- uploads ----------------------------------------------------------------------------------------------


def picture(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "teal").save(buffer, form)
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.png", picture("PNG"))
    return buffer.getvalue()


def safetensors(shapes: dict[str, tuple[int, int]]) -> bytes:
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return save(arrays, metadata={"format": "np"})


FILES = {
    "image/jpeg": picture("JPEG"),
    "image/png": picture("PNG"),
    "image/gif": picture("GIF"),
    "image/webp": picture("WEBP"),
    "image/bmp": picture("BMP"),
    "application/zip": archive(),
    "video/mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(600),
    "video/quicktime": b"\0\0\0\x14ftypqt  \0\0\2\0qt  " + bytes(600),
    "video/x-matroska": b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska" + bytes(600),
    "video/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm" + bytes(600),
    "video/x-msvideo": b"RIFF\xff\0\0\0AVI LIST" + bytes(600),
    "video/mp2t": (b"\x47" + bytes(187)) * 4,
    "application/vnd.safetensors": safetensors({"fc.weight": (2, 300)}),
}
STRANGE = {
    "text": b"hello",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "elf": b"\x7fELF" + bytes(600),
    "tiff": b"II*\0" + bytes(600),
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(600),
    "wave": b"RIFF\xff\0\0\0WAVEfmt " + bytes(600),
    "pickle": b"\x80\x04\x95" + bytes(600),
    "one sync byte": b"\x47" + bytes(600),
    "safetensors cut off": safetensors({"fc.weight": (2, 2)})[:40],
    "safetensors too long a header": (100_000_001).to_bytes(8, "little") + b'{"a":' + bytes(600),
    "safetensors without an object": (6).to_bytes(8, "little") + b"[1, 2]" + bytes(600),
    "safetensors with broken JSON": (6).to_bytes(8, "little") + b'{"a"::' + bytes(600),
}


@pytest.fixture
def reel_api(reel: Reel, api: Any) -> Any:
    return api


def test_kinds_are_told_by_content_alone() -> None:
    assert {name: found.name for name, data in FILES.items() if (found := sniff(data[:512]))} == {
        name: name for name in FILES
    }
    assert {name for name, data in STRANGE.items() if sniff(data[:512])} == set()


def test_weights_are_told_by_a_long_header_and_an_empty_one_too() -> None:
    many = safetensors({f"layer{number}.weight": (1, 1) for number in range(200)})
    assert int.from_bytes(many[:8], "little") > 512
    for data in (many, save({})):
        found = sniff(data[:512])
        assert found is not None
        assert (found.name, found.suffix) == ("application/vnd.safetensors", ".safetensors")


def test_uploads_are_stored_by_content(reel: Reel, reel_api: Any) -> None:
    client = reel_api.client("submit")
    for media_type, data in FILES.items():
        headers = {"Content-Type": "text/html"}
        answer = client.post("/v1/uploads", content=data, headers=headers)
        assert answer.status_code == 201, (media_type, answer.text)
        stored = StoredFile.model_validate(answer.json())
        assert (stored.media_type, stored.size) == (media_type, len(data))
        assert stored.key.startswith("uploads/")
        assert reel.storage.get_bytes(stored.key, max_bytes=10**6) == data
        assert stored.url
        assert httpx.get(stored.url, trust_env=False).headers["content-type"] == media_type
    form = client.post("/v1/uploads", files={"file": ("../../evil.exe", FILES["image/png"], "text/html")})
    again = client.post("/v1/uploads", content=iter([FILES["image/png"]]))
    assert (form.status_code, form.json()["key"]) == (201, again.json()["key"])
    assert "evil" not in form.json()["key"]


def test_what_is_not_accepted_is_a_415(api: Any) -> None:
    client = api.client("submit")
    for name, data in STRANGE.items():
        answer = client.post("/v1/uploads", content=data)
        assert (answer.status_code, "first bytes" in answer.json()["detail"]) == (415, True), name
        assert client.post("/v1/uploads", files={"file": data}).status_code == 415, name


def test_empty_uploads_are_refused(api: Any) -> None:
    client = api.client("submit")
    assert client.post("/v1/uploads", content=b"").status_code == 400
    assert client.post("/v1/uploads", files={"file": b""}).status_code == 400
    assert client.post("/v1/uploads", files={"other": b"x"}).status_code == 400
    assert client.post("/v1/uploads", data={"file": "x"}, files={"a": b""}).status_code == 400


def raw(api: Any, head: str, *bodies: bytes, then_close: bool = False) -> bytes:
    """Send a request byte for byte and return the answer; empty when there is none."""
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        lines = ["POST /v1/uploads HTTP/1.1", "Host: x", f"Authorization: Bearer {api.token('submit')}", head]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        for body in bodies:
            connection.sendall(body)
        if then_close:
            return b""
        return connection.recv(65536)


def test_too_large_is_refused_at_the_door(reel_database: Reel, api: Any) -> None:
    reel_database.configure(limits__upload_bytes=3_000_000, limits__archive_bytes=1000)
    started = time.monotonic()
    assert b" 413 " in raw(api, "Content-Length: 99000000").split(b"\r\n")[0]
    assert time.monotonic() - started < 3
    # A picture's own, smaller cap holds once its first bytes are there.
    reel_database.configure(limits__picture_bytes=10_000)
    answer = raw(api, "Content-Length: 2000000", FILES["image/png"] + bytes(1000))
    assert b" 413 " in answer.split(b"\r\n")[0]


def test_too_large_without_or_with_a_lying_length(reel_database: Reel, api: Any) -> None:
    reel_database.configure(
        limits__picture_bytes=10_000, limits__upload_bytes=20_000, limits__archive_bytes=0
    )
    client = api.client("submit")
    endless = iter([FILES["image/png"], *[bytes(5000)] * 4])
    assert client.post("/v1/uploads", content=endless).status_code == 413
    film = iter([FILES["video/mp4"], *[bytes(5000)] * 4])
    assert client.post("/v1/uploads", content=film).status_code == 413
    assert client.post("/v1/uploads", files={"file": FILES["image/png"] + bytes(10_000)}).status_code == 413
    # A length that says less than what follows: the rest is no part of the request, and no request either.
    answer = raw(api, "Content-Length: 8", b"<script>" + bytes(30_000))
    assert answer.split()[1] in (b"400", b"415")


def test_an_upload_that_breaks_off_leaves_nothing(reel: Reel, reel_api: Any) -> None:
    raw(reel_api, "Content-Length: 100000", FILES["image/png"], then_close=True)
    assert reel_api.client().get("/healthz").status_code == 200
    assert list(reel.storage.list("uploads/")) == []


def test_visitors_may_send_pictures_only(reel: Reel, reel_api: Any) -> None:
    reel.configure(limits__picture_bytes=5000)
    visitor = reel_api.client()
    assert visitor.post("/v1/uploads", content=FILES["image/png"]).status_code == 201
    for media_type in ("video/mp4", "application/vnd.safetensors"):
        assert visitor.post("/v1/uploads", content=FILES[media_type]).status_code == 415
    big_form = visitor.post("/v1/uploads", files={"file": FILES["image/png"] + bytes(3_000_000)})
    assert (big_form.status_code, big_form.json()["type"]) == (413, "urn:reelsight:problem:too-large")
    reel.configure(web__public_demo=False)
    assert visitor.post("/v1/uploads", content=FILES["image/png"]).status_code == 401


class Movie(ExtractFramesRequest, Submission):
    """A body with a file's key, as ingest takes it."""


@pytest.fixture
def movies(reel: Reel, api: Any, app: FastAPI, serve: Callable[[FastAPI], str]) -> httpx.Client:
    router = APIRouter()

    @router.post("/v1/movies", status_code=202)
    @large_body(largest)
    async def extract_frames(
        request: Request, principal: Annotated[Principal, Depends(require("submit", "demo"))]
    ) -> Response:
        body = await read_submission(request, principal, Movie, families=("film",))
        return await run_in_threadpool(submit_job, EXTRACT_FRAMES, body, principal, request)

    api.url = serve(create_app("Movies", [router]))
    client: httpx.Client = api.client("submit")
    return client


def test_a_film_comes_by_key_or_in_a_form(movies: httpx.Client) -> None:
    film = {"file": ("film.mp4", FILES["video/mp4"])}
    fields = {"label": "mulan", "every_seconds": "1.5", "keep_aspect": "false", "metadata": '{"a": 1}'}
    headers = {"Idempotency-Key": "film"}
    formed = movies.post("/v1/movies", data=fields, files=film, headers=headers)
    assert formed.status_code == 202, formed.text
    request = formed.json()["request"]
    assert (request["every_seconds"], request["keep_aspect"], request["every_frames"]) == (1.5, False, None)
    assert formed.json()["metadata"] == {"a": 1}
    # The same form with another boundary is the same request: files count by their content.
    again = movies.post("/v1/movies", data=fields, files=film, headers=headers)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (formed.json()["id"], "true")
    other = {"file": FILES["video/mp4"] + b"more"}
    assert movies.post("/v1/movies", data=fields, files=other, headers=headers).status_code == 422
    keyed = movies.post("/v1/movies", json={"label": "mulan", "key": request["key"]})
    assert (keyed.status_code, keyed.json()["request"]["key"]) == (202, request["key"])


def test_what_is_wrong_with_a_form_is_said_before_the_film_is_stored(
    reel: Reel, movies: httpx.Client
) -> None:
    film = {"file": FILES["video/mp4"]}
    wrong = movies.post("/v1/movies", data={"label": "NO", "colour": "x"}, files=film)
    assert {error["pointer"] for error in wrong.json()["errors"]} == {"#/label", "#/colour"}
    both = {"label": "a", "every_frames": "24", "every_seconds": "1"}
    for refused in (movies.post("/v1/movies", data=both, files=film), movies.post("/v1/movies", json=both)):
        assert refused.status_code == 422, refused.text
    whole = movies.post("/v1/movies", data=both, files=film).json()["errors"]
    assert whole == [
        {"pointer": "#", "detail": "give one of every_frames, every_seconds and per_scene, not several"}
    ]
    assert movies.post("/v1/movies", data={"label": "a", "metadata": "{"}, files=film).status_code == 400
    assert movies.post("/v1/movies", data={"label": "a"}, files={"x": b"y"}).status_code == 400
    assert (
        movies.post("/v1/movies", data={"label": "a"}, files={"file": FILES["image/png"]}).status_code == 415
    )
    assert (
        movies.post("/v1/movies", content=b"{", headers={"Content-Type": "application/json"}).status_code
        == 400
    )
    assert (
        movies.post("/v1/movies", content=b"film", headers={"Content-Type": "video/mp4"}).status_code == 415
    )
    assert movies.post("/v1/movies", json={"label": "mulan"}).json()["errors"][0]["pointer"] == "#/key"
    assert list(reel.storage.list("uploads/")) == []


def test_a_key_that_names_nothing_is_told_from_storage_that_is_away(reel: Reel) -> None:
    stored = reel.storage.put_bytes("uploads", FILES["video/mp4"], "video/mp4", ".mp4")
    anyio.run(require_stored, stored.key)
    with pytest.raises(NotFound, match=r"uploads/no\.mp4"):
        anyio.run(require_stored, "uploads/no.mp4")
    reel.configure(s3__endpoint="127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(StorageUnavailable):
        anyio.run(require_stored, stored.key)
    assert time.monotonic() - started < 6


def test_limits_are_published(reel_database: Reel, api: Any) -> None:
    reel_database.configure(limits__picture_bytes=123)
    found = api.client().get("/v1/limits").json()
    assert (found["picture_bytes"], found["page_size"], found["wait_seconds"]) == (123, 200, 30)
    assert "video/mp4" in found["media_types"]
