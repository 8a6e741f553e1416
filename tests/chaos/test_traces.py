"""From the HTTP request through the queue to the worker's log: one request id and one trace, whatever Redis forgets."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from chaos_processes import Actor
from chaos_stage import Stage
from otlp_receiver import Receiver, Seen

from reel_shared.db.engine import transaction
from reel_shared.embedded.ports import free_port
from reel_shared.security import create_key

pytestmark = [pytest.mark.chaos, pytest.mark.servers]
# The two of the standard's own example.
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # pragma: allowlist secret
CALLER = "00f067aa0ba902b7"
HEADERS = {"X-Request-ID": "order-7", "traceparent": f"00-{TRACE}-{CALLER}-01"}


def test_a_request_its_jobs_and_their_lines_are_one_trace_after_a_flush(stage: Stage, databases: str) -> None:
    with Receiver() as receiver:
        otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        # What an API has not sent when it is told to stop, it sends then.
        port, api = serve(stage, **otel | {"OTEL_BSP_SCHEDULE_DELAY": "60000"})
        job_id = submit(port, do="work")
        stage.redis().flushall()
        stage.reaper()
        ingest, augment = stage.worker("ingest", **otel), stage.worker("augment", **otel)
        stage.until(lambda: stage.states() == {"succeeded": 2}, "the job and the one that follows it end")
        assert api.stop() == -15
        stage.until(lambda: len(receiver.spans) >= 5, "all spans arrive")
    assert {span.trace_id for span in receiver.spans} == {TRACE}
    server, created, processed, created_next, processed_next = spans = chain(receiver)
    assert [(span.service, span.kind, span.name) for span in spans] == [
        ("reelsight-ingest-api", "SERVER", "POST /v1/web-collections"),
        ("reelsight-ingest-api", "PRODUCER", "create ingest"),
        ("reelsight-ingest-worker", "CONSUMER", "process ingest"),
        ("reelsight-ingest-worker", "PRODUCER", "create augment"),
        ("reelsight-augment-worker", "CONSUMER", "process augment"),
    ]
    assert server.parent == CALLER
    assert server.attributes["http.response.status_code"] == 202
    assert (
        created.attributes["messaging.message.id"] == processed.attributes["messaging.message.id"] == job_id
    )
    assert processed.attributes["reel.job.state"] == "succeeded"
    assert (
        created_next.attributes["messaging.message.id"] == processed_next.attributes["messaging.message.id"]
    )
    assert not any(span.failed for span in spans)
    for worker in (ingest, augment):
        lines = lines_of(worker, job=True)
        assert {line["event"] for line in lines} >= {"job.started", "job.ended"}
        assert {(line["request"], line["trace_id"]) for line in lines} == {("order-7", TRACE)}


def test_without_an_endpoint_parts_and_attempts_still_log_where_they_come_from(stage: Stage) -> None:
    port, api = serve(stage)
    stage.reaper()
    worker = stage.worker("ingest")
    spread = submit(port, do="spread", parts=3, seconds=0.1)
    refused = submit(port, do="refuse")
    stumbles = submit(port, do="stumble", times=1)
    stage.until_ended(spread, refused, stumbles)
    assert len(stage.parts(spread)) == 3
    lines = lines_of(worker, job=True)
    assert {line["job"] for line in lines} >= {spread, refused, *(part.id for part in stage.parts(spread))}
    assert {line["attempt"] for line in lines if line["job"] == stumbles} == {1, 2}
    assert {line["event"] for line in lines} >= {"job.started", "job.failed", "job.ended"}
    assert {(line["request"], line["trace_id"]) for line in lines} == {("order-7", TRACE)}
    requests = [line for line in lines_of(api) if line["event"] == "http.request"]
    assert {(line["request"], line["trace_id"]) for line in requests} == {("order-7", TRACE)}


def serve(stage: Stage, **env: str) -> tuple[int, Actor]:
    port = free_port()
    api = stage.start("reel_ingest.server", REEL_WEB__PORT=str(port), **env)
    stage.until(lambda: answers(port), "the API answers")
    return port, api


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def submit(port: int, **behaviour: Any) -> str:
    with transaction() as session:
        token = create_key(session, "test", ("submit",))[1]
    body = {
        "label": "a",
        "provider": "openverse",
        "query": json.dumps(behaviour),
        "augment": behaviour == {"do": "work"},
    }
    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/web-collections",
        json=body,
        headers={**HEADERS, "Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def chain(receiver: Receiver) -> list[Seen]:
    """Return the spans from the one whose parent is the caller, each the child of the one before."""
    children = {span.parent: span for span in receiver.spans}
    assert len(children) == len(receiver.spans), "no span has two children"
    found, at = [], CALLER
    while at in children:
        found.append(children[at])
        at = children[at].id
    return found


def lines_of(actor: Actor, *, job: bool = False) -> list[dict[str, Any]]:
    """Return the log's lines, or those of an attempt of a job."""
    lines = [json.loads(line) for line in actor.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if "attempt" in line] if job else lines
