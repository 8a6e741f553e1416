"""Idempotency-Key: one job however often and however many at once ask, and no key that is ever stuck."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import IdempotencyRecord, Job, OutboxMessage, utcnow
from reel_shared.testing.stack import Reel
from reel_shared.web import idempotency

BODY = {"dataset": "d", "metadata": {"batch": "b-1"}}


def post(client: httpx.Client, key: str | None = "k-1", body: Any = None, **headers: str) -> httpx.Response:
    if key is not None:
        headers["Idempotency-Key"] = key
    return client.post("/v1/variants", json=body or BODY, headers=headers)


def count(table: type[Any]) -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_fifty_at_once_make_one_job(databases: str, api: Any) -> None:
    client = api.client("submit")
    together = threading.Barrier(50)

    def send(_number: int) -> httpx.Response:
        together.wait()
        return post(client)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(send, range(50)))
    assert Counter(answer.status_code for answer in answers) == {202: 50}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 49
    assert (count(Job), count(OutboxMessage), count(IdempotencyRecord)) == (1, 1, 1)


def test_the_first_answer_comes_again(databases: str, api: Any) -> None:
    client = api.client("submit")
    first, again = post(client), post(client)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    spaced = client.post(
        "/v1/variants",
        content=b'{"metadata": {"batch":"b-1"},   "seed": 42, "dataset":"d"}',
        headers={"Idempotency-Key": "k-1", "Content-Type": "application/json"},
    )
    assert spaced.json()["id"] == first.json()["id"]


def test_another_request_with_the_key_is_refused(databases: str, api: Any) -> None:
    client = api.client("read", "submit")
    job = post(client).json()
    for body in ({"dataset": "e"}, {**BODY, "metadata": {}}):
        refused = post(client, body=body)
        assert (refused.status_code, "new key" in refused.json()["detail"]) == (422, True)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    replayed = client.post(f"/v1/jobs/{job['id']}/replay", headers={"Idempotency-Key": "k-1"})
    assert replayed.status_code == 422
    assert count(Job) == 1


def test_a_replay_of_a_job_happens_once(api: Any) -> None:
    client = api.client("submit")
    job = post(client, None).json()
    client.post(f"/v1/jobs/{job['id']}/cancel")
    made = [
        client.post(f"/v1/jobs/{job['id']}/replay", headers={"Idempotency-Key": "r"}).json()["id"]
        for _ in "ab"
    ]
    assert made[0] == made[1] != job["id"]


def test_keys_belong_to_their_owner(api: Any) -> None:
    assert post(api.client("submit")).json()["id"] != post(api.client("submit")).json()["id"]
    assert count(Job) == 2


def test_without_a_key_every_request_counts(api: Any) -> None:
    client = api.client("submit")
    assert post(client, None).json()["id"] != post(client, None).json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", b"caf\xc3\xa9"])
def test_strange_keys_are_refused(api: Any, key: str | bytes) -> None:
    client = api.client("submit")
    answer = client.post("/v1/variants", json=BODY, headers=[(b"Idempotency-Key", key)])
    assert answer.status_code == 400
    assert count(Job) == 0


def test_a_key_is_forgotten_after_its_time(databases: str, api: Any) -> None:
    client = api.client("submit")
    first = post(client).json()["id"]
    with transaction() as session:
        session.execute(sa.update(IdempotencyRecord).values(created_at=utcnow() - timedelta(hours=25)))
    second = post(client, body={"dataset": "other"})
    assert (second.status_code, second.json()["id"] != first) == (202, True)
    assert post(client, body={"dataset": "other"}).headers["idempotent-replayed"] == "true"


def test_a_refused_request_leaves_the_key_free(api: Any) -> None:
    client = api.client("submit")
    assert post(client, body={"dataset": "NO"}).status_code == 422
    assert post(client).status_code == 202


DIES = """
import os
from starlette.requests import Request
from reel_shared import jobs
from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest
from reel_shared.db.engine import transaction
from reel_shared.web.idempotency import once
headers = [(b"idempotency-key", b"k-1")]
request = Request({"type": "http", "method": "POST", "path": "/v1/variants", "headers": headers,
                   "query_string": b"", "server": ("x", 80)})
with transaction() as session:
    def act():
        job = jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest(), owner="demo")
        session.flush()
        print(job.id, flush=True)
        os._exit(9)
    once(session, request, "demo", {}, act)
"""


def test_a_process_that_dies_in_between_leaves_no_job_and_no_stuck_key(
    databases: str, reel_database: Reel, api: Any
) -> None:
    died = subprocess.run(
        [sys.executable, "-c", DIES], env=reel_database.env, capture_output=True, text=True, check=False
    )
    assert (died.returncode, died.stdout.startswith("job_")) == (9, True), died.stderr
    assert (count(Job), count(IdempotencyRecord)) == (0, 0)
    answer = post(api.client())
    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (202, False)


def test_a_request_in_flight_is_a_409_when_it_takes_long(
    postgres_url: str, reel_database: Reel, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reel_database.configure(database__url=postgres_url)
    monkeypatch.setattr(idempotency, "IN_FLIGHT_SECONDS", 1)
    client = api.client("submit")
    with reading() as session:
        owner = session.scalar(sa.text("SELECT id FROM api_keys"))
    with transaction() as session:
        session.add(IdempotencyRecord(owner=owner, key="k-1", request_sha256="0" * 64))
        session.flush()
        waiting = post(client)
        session.rollback()
    assert (waiting.status_code, waiting.json()["type"]) == (409, "urn:reelsight:problem:conflict")
    assert post(client).status_code == 202


def test_waiting_for_the_job_works_for_a_repetition_too(api: Any, worker: Any) -> None:
    client = api.client("submit")
    job = post(client).json()
    lease = worker.claim(job["id"])
    threading.Timer(0.3, worker.succeed, [lease]).start()
    again = post(client, Prefer="wait=10")
    assert (again.status_code, again.json()["state"]) == (200, "succeeded")
    assert again.headers["idempotent-replayed"] == "true"


def test_what_was_submitted_is_what_the_worker_reads(api: Any, worker: Any) -> None:
    job = post(api.client("submit")).json()
    assert job["metadata"] == {"batch": "b-1"}
    request = MAKE_VARIANTS.request.model_validate(worker.claim(job["id"]).request)
    assert request == MakeVariantsRequest(dataset="d")
