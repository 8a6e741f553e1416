"""Limits of each caller over HTTP: reads, writes, jobs, bytes, predictions; visitors by an address none can make up."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.responses import JSONResponse, Response
from structlog.testing import capture_logs

from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest
from reel_shared.db.engine import transaction
from reel_shared.embedded import Valkey
from reel_shared.security import create_key
from reel_shared.testing.stack import Reel
from reel_shared.web import quotas
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Principal, require
from reel_web.api import router as web

pytestmark = pytest.mark.servers
Anyone = Annotated[Principal, Depends(require("submit", "demo"))]
JOB = {"dataset": "d"}
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(500)


class Variants(MakeVariantsRequest, Submission):
    """The body of the one job endpoint that these tests need."""


class Replica:
    def __init__(self, url: str) -> None:
        self.url = url
        self.clients: list[httpx.Client] = []

    def token(self, *scopes: str) -> str:
        with transaction() as session:
            return create_key(session, "test", scopes)[1]

    def client(self, *scopes: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(*scopes)}"}
        self.clients.append(httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False))
        return self.clients[-1]


def routers() -> list[APIRouter]:
    router = APIRouter()

    @router.post("/v1/variants", status_code=202)
    def make_variants(body: Variants, principal: Anyone, request: Request) -> Response:
        return submit_job(MAKE_VARIANTS, body, principal, request)

    @router.post("/v1/ask")
    @quotas.counts_as("predictions")
    async def ask(request: Request, principal: Anyone) -> Response:
        await quotas.admitted(request)
        return JSONResponse({})

    return [router, web]


@pytest.fixture
def serving(reel: Reel, serve: Callable[[FastAPI], str]) -> Iterator[Callable[..., Replica]]:
    """Serve one more replica, under these settings."""
    made: list[Replica] = []

    def start(**rates: int) -> Replica:
        reel.configure(**{f"rates__{name}": value for name, value in rates.items()})
        made.append(Replica(serve(create_app("Test", routers()))))
        return made[-1]

    yield start
    for api in made:
        for client in api.clients:
            client.close()


def parts(answer: httpx.Response, name: str) -> dict[str, dict[str, int]]:
    """A structured header of the draft: each item's parameters."""
    items = re.findall(r'"([\w-]+)";(\w)=(\d+);(\w)=(\d+)', answer.headers[name])
    return {item: {first: int(one), second: int(two)} for item, first, one, second, two in items}


def test_every_answer_tells_what_is_left_and_a_refusal_when_to_come_back(
    serving: Callable[..., Replica],
) -> None:
    client = serving(key__reads_per_minute=3).client("read")
    answers = [client.get("/v1/jobs") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert parts(answers[0], "RateLimit-Policy") == {"reads": {"q": 3, "w": 60}}
    assert [parts(answer, "RateLimit")["reads"]["r"] for answer in answers] == [2, 1, 0, 0]
    refused = answers[3]
    assert 15 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:reelsight:problem:too-many-requests"
    assert refused.json()["violated-policies"] == ["reads"]
    assert parts(refused, "RateLimit")["reads"]["t"] == 60


def test_replicas_count_together_and_keys_apart(serving: Callable[..., Replica]) -> None:
    first, second = serving(key__writes_per_minute=4), serving()
    token, other = first.token("submit"), first.token("submit")
    sent = [
        httpx.post(f"{api.url}/v1/jobs/job_x/cancel", headers={"Authorization": f"Bearer {token}"})
        for api in (first, second) * 3
    ]
    assert [answer.status_code for answer in sent] == [404] * 4 + [429] * 2
    answer = httpx.post(f"{first.url}/v1/jobs/job_x/cancel", headers={"Authorization": f"Bearer {other}"})
    assert answer.status_code == 404


def test_jobs_a_day_count_what_was_submitted(serving: Callable[..., Replica]) -> None:
    client = serving(key__jobs_per_day=2).client("submit")
    same = {"Idempotency-Key": "once"}
    assert client.post("/v1/variants", json=JOB, headers=same).status_code == 202
    for _ in range(3):  # refused and repeated requests are given back, once they are answered
        assert client.post("/v1/variants", json={"nonsense": 1}).status_code in (422, 429)
        wait_for(lambda: client.post("/v1/variants", json=JOB, headers=same).status_code == 202)
    wait_for(lambda: client.post("/v1/variants", json=JOB).status_code == 202)
    time.sleep(0.1)
    refused = client.post("/v1/variants", json=JOB)
    assert refused.status_code == 429
    assert refused.json()["violated-policies"] == ["jobs"]
    assert 43_000 < int(refused.headers["retry-after"]) <= 43_200
    assert client.get("/v1/jobs").status_code == 200, "reads go on"


def wait_for(true: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_bytes_a_day_count_as_they_come_whatever_is_announced(serving: Callable[..., Replica]) -> None:
    api = serving(key__upload_bytes_per_day=2000)
    client = api.client("submit")
    assert client.post("/v1/uploads", content=PNG).status_code == 201  # 508
    streamed = client.post("/v1/uploads", content=iter([PNG, bytes(600)]))  # 1108, of which no header tells
    assert streamed.status_code == 201
    wait_for(lambda: client.post("/v1/uploads", content=PNG).status_code == 429)
    larger = api.client("submit").post("/v1/uploads", content=PNG + bytes(2000))
    assert (larger.status_code, larger.json()["limit"]) == (413, 2000)
    assert client.post("/v1/variants", json=JOB).status_code == 202, "JSON is no upload"


def test_a_key_may_have_limits_of_its_own(serving: Callable[..., Replica]) -> None:
    api = serving(key__reads_per_minute=2)
    admin = api.client("admin")
    own = {"jobs_per_day": 7, "reads_per_minute": 0}
    made = admin.post("/v1/keys", json={"name": "n", "scopes": ["read"], "limits": own}).json()
    assert made["own_limits"]["reads_per_minute"] == 0
    assert (made["limits"]["jobs_per_day"], made["limits"]["writes_per_minute"]) == (7, 1200)
    key = {"Authorization": f"Bearer {made['token']}"}
    assert [httpx.get(f"{api.url}/v1/jobs", headers=key).status_code for _ in range(5)] == [200] * 5
    changed = admin.put(f"/v1/keys/{made['id']}/limits", json={"reads_per_minute": 1}).json()
    assert changed["limits"]["reads_per_minute"] == 1
    assert changed["own_limits"]["jobs_per_day"] is None
    assert [httpx.get(f"{api.url}/v1/jobs", headers=key).status_code for _ in range(2)] == [200, 429]
    assert admin.put("/v1/keys/key_x/limits", json={}).status_code == 404
    assert admin.put(f"/v1/keys/{made['id']}/limits", json={"reads": 1}).status_code == 422
    changes = admin.get("/v1/key-changes").json()["data"][:2]
    assert [(one["action"], one["limits"]) for one in changes] == [
        ("limited", {"reads_per_minute": 1}),
        ("made", own),
    ]


def test_predictions_are_counted_beside_the_work(serving: Callable[..., Replica]) -> None:
    client = serving(key__predictions_per_minute=2).client("submit")
    answers = [client.post("/v1/ask") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert parts(answers[1], "RateLimit")["predictions"]["r"] == 0


def test_a_visitor_is_an_address_that_a_header_cannot_make_up(
    serving: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(api: Replica, forwarded: str) -> int:
        return httpx.post(f"{api.url}/v1/ask", headers={"X-Forwarded-For": forwarded}).status_code

    # this connection comes from no trusted proxy: what it says of itself is not read
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    direct = serving(visitor__predictions_per_minute=2)
    assert [ask(direct, f"203.0.113.{number}") for number in range(3)] == [200, 200, 429]
    # behind a proxy on this host: the last address that no proxy of ours has counts, not the first
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1,10.0.0.0/8")
    behind = serving()
    assert [ask(behind, f"192.0.2.{number}, 203.0.113.9, 10.1.2.3") for number in range(3)] == [200, 200, 429]
    assert ask(behind, "203.0.113.10") == 200
    # an IPv6 caller has a whole network of addresses
    assert [ask(behind, f"2001:db8:1:2::{number}") for number in range(3)] == [200, 200, 429]
    assert ask(behind, "2001:db8:1:3::1") == 200


def test_without_redis_each_replica_counts_and_nothing_fails(
    serving: Callable[..., Replica], valkey: Valkey
) -> None:
    client = serving(key__reads_per_minute=3, key__predictions_per_minute=2).client("read", "submit")
    assert client.get("/v1/jobs").status_code == 200
    valkey.kill()
    try:
        with capture_logs() as told:
            reads = [client.get("/v1/jobs").status_code for _ in range(4)]
            asked = [client.post("/v1/ask").status_code for _ in range(3)]
    finally:
        valkey.start()
    assert reads == [200, 200, 200, 429]
    assert asked == [200, 200, 429]
    away = [line for line in told if line["event"] == "quotas.redis_away"]
    assert [line["log_level"] for line in away] == ["warning"]


def test_a_redis_that_hangs_holds_nobody_up(
    serving: Callable[..., Replica], valkey: Valkey, reel: Reel
) -> None:
    client = serving(key__reads_per_minute=50).client("read")
    assert client.get("/v1/jobs").status_code == 200
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.get("/v1/jobs").status_code))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 8
        assert time.monotonic() - started < 2
    finally:
        os.kill(valkey.pid, signal.SIGCONT)


def test_deployments_trust_their_proxies_and_not_everybody() -> None:
    root = Path(__file__).resolve().parents[2]
    for name in ("docker-compose.yml", "k8s/base/patches/api.yaml"):
        (trusted,) = re.findall(r'FORWARDED_ALLOW_IPS(?:, value)?: "([^"]+)"', (root / name).read_text())
        assert "*" not in trusted
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(trusted.split(","))
