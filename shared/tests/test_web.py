"""The web app around every endpoint: problems, request ids, headers, limits, health, cursors, OpenAPI."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse

from reel_shared import errors
from reel_shared.contracts import CollectPicturesRequest
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Job, utcnow
from reel_shared.errors import BadRequest, ReelError
from reel_shared.testing.stack import Reel
from reel_shared.web.app import create_app
from reel_shared.web.health import Check
from reel_shared.web.pagination import listing
from reel_shared.web.routing import Router

pytestmark = pytest.mark.usefixtures("reel_database")


def all_errors(base: type[ReelError] = ReelError) -> list[type[ReelError]]:
    """Those of ``errors``: services that are imported beside have errors of their own making."""
    below = [kind for kind in base.__subclasses__() if kind.__module__ == errors.__name__]
    return [base, *(found for kind in below for found in all_errors(kind))]


def client(router: APIRouter | None = None, **options: Any) -> TestClient:
    return TestClient(create_app("Test", [router or APIRouter()], **options), raise_server_exceptions=False)


def raising(error: Exception) -> TestClient:
    router = APIRouter()

    @router.get("/v1/raise/{name}")
    def fail(name: str) -> None:
        raise error

    return client(router)


def collecting() -> TestClient:
    router = APIRouter()

    @router.post("/v1/collect")
    def collect(body: CollectPicturesRequest, limit: int = 1) -> dict[str, int]:
        return {"urls": len(body.urls)}

    return client(router)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_becomes_a_problem(kind: type[ReelError]) -> None:
    answer = raising(kind("Do this instead.", reason="why")).get(
        "/v1/raise/x", headers={"X-Request-ID": "r-1"}
    )
    assert answer.status_code == kind.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": f"urn:reelsight:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "Do this instead.",
        "reason": "why",
        "instance": "/v1/raise/x",
        "request_id": "r-1",
    }
    says_when = kind.retryable or issubclass(kind, errors.TooManyRequests)
    assert ("retry-after" in answer.headers) == says_when
    assert ("www-authenticate" in answer.headers) == (kind is errors.Unauthorized)


def test_an_unknown_error_shows_nothing_of_the_inside() -> None:
    answer = raising(RuntimeError("password=hunter2")).get("/v1/raise/x")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"label": "mulan", "urls": ["a", 3]}, "#/urls/1", "string"),
        ({"label": "mulan", "urls": ["a"], "colour": 1}, "#/colour", "not a field"),
        ({"urls": ["a"]}, "#/label", "is missing"),
        ({"label": "mulan", "provider": "urls"}, "#", "needs 'urls'"),
        ({"label": "mulan", "a/b~c": 1, "urls": []}, "#/a~1b~0c", "not a field"),
        (
            {"label": "Mulan!", "urls": ["a"]},
            "#/label",
            "Use lower-case letters, digits, - and _, at most 63",
        ),
        (
            {"label": "a", "dataset": "My Data"},
            "#/dataset",
            "Use lower-case letters, digits, - and _, at most 63",
        ),
        ({"label": "a" * 64}, "#/label", "at most 63 characters"),
        ({"label": "a\n", "query": "b"}, "#/label", "Use lower-case letters"),
        ({"label": "a", "key": "../secret"}, "#/key", "POST /v1/uploads"),
        ({"label": "a", "folder": "uploads/"}, "#/folder", "under drop/"),
        ([], "#", "object"),
    ],
)
def test_wrong_fields_are_named_by_pointer(body: Any, pointer: str, words: str) -> None:
    answer = collecting().post("/v1/collect", json=body)
    assert answer.status_code == 422
    problem = answer.json()
    found = {error["pointer"]: error["detail"] for error in problem["errors"]}
    assert words in found[pointer]
    assert found[pointer] in problem["detail"]
    assert "Value error" not in answer.text
    assert "pattern" not in answer.text


def test_the_contract_still_shows_the_patterns() -> None:
    shown = collecting().get("/openapi.json").json()["components"]["schemas"]["CollectPicturesRequest"]
    for name in ("label", "dataset", "folder"):
        assert shown["properties"][name]["pattern"].startswith("^"), name
    assert shown["properties"]["key"]["anyOf"][0]["pattern"].startswith("^")


def test_wrong_parameters_are_named_too() -> None:
    answer = collecting().post("/v1/collect?limit=many", json={"label": "a", "query": "b"})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["query:limit"]


def test_unreadable_bodies() -> None:
    api = collecting()
    broken = api.post("/v1/collect", content=b"{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["type"]) == (400, "urn:reelsight:problem:bad-request")
    for media_type in ("text/plain", "application/x-www-form-urlencoded"):
        other = api.post("/v1/collect", content=b"label=a", headers={"Content-Type": media_type})
        assert (other.status_code, other.json()["type"]) == (415, "urn:reelsight:problem:unsupported-type")


def test_wrong_paths_and_methods_are_problems() -> None:
    missing = collecting().get("/v1/nothing")
    assert (missing.status_code, missing.json()["instance"]) == (404, "/v1/nothing")
    assert "/v1/nothing" in missing.json()["detail"]
    method = collecting().delete("/v1/collect")
    assert (method.status_code, method.headers["allow"]) == (405, "POST")
    assert method.json()["type"] == "urn:reelsight:problem:method-not-allowed"


@pytest.mark.parametrize(
    ("given", "kept"), [("a-b.c:1", True), ("x" * 129, False), ("a b", False), ("<b>", False)]
)
def test_request_ids_are_kept_when_they_are_harmless(given: str, kept: bool) -> None:
    answer = client().get("/healthz", headers={"X-Request-ID": given})
    found = answer.headers["x-request-id"]
    assert (found == given) == kept
    assert kept or found.startswith("req_")


def test_security_headers_yield_to_an_endpoint_that_sets_its_own() -> None:
    router = APIRouter()

    @router.get("/page")
    def page() -> JSONResponse:
        return JSONResponse({}, headers={"Content-Security-Policy": "default-src 'self'"})

    api = client(router)
    assert api.get("/page").headers["content-security-policy"] == "default-src 'self'"
    plain = api.get("/healthz").headers
    assert plain["content-security-policy"].startswith("default-src 'none'")
    assert (plain["x-content-type-options"], plain["referrer-policy"]) == ("nosniff", "no-referrer")


def test_json_bodies_are_bounded_however_they_come(reel_database: Reel) -> None:
    reel_database.configure(limits__json_bytes=1000)
    api, json = collecting(), {"Content-Type": "application/json"}
    announced = api.post("/v1/collect", content=b" " * 1001, headers=json)
    chunked = api.post("/v1/collect", content=iter([b" " * 400] * 3), headers=json)
    # An endpoint that takes no files must not read a large body into memory, whatever it is called.
    disguised = api.post("/v1/collect", content=b" " * 1001, headers={"Content-Type": "video/mp4"})
    fits = api.post("/v1/collect", content=b'{"label":"a","query":"b"}' + b" " * 900, headers=json)
    assert [answer.status_code for answer in (announced, chunked, disguised, fits)] == [413, 413, 413, 200]
    assert announced.json()["type"] == "urn:reelsight:problem:too-large"


def test_a_database_that_is_away_is_a_503(reel_database: Reel, app: FastAPI) -> None:
    reel_database.configure(database__url="postgresql://nobody@127.0.0.1:1/nothing")
    token = f"reel_{'0' * 12}_{'x' * 43}"
    with TestClient(app) as api:
        answer = api.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:reelsight:problem:database-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "127.0.0.1" not in answer.text


def test_readyz_names_the_parts_that_are_away() -> None:
    def refuse() -> None:
        raise BadRequest("The model is missing; activate one.")

    api = client(ready=[Check("model", refuse), Check("clock", lambda: None)])
    started = time.monotonic()
    answer = api.get("/readyz")
    assert time.monotonic() - started < 5
    checks = answer.json()["checks"]
    assert answer.status_code == 503
    assert {name: part["ok"] for name, part in checks.items()} == {
        "clock": True,
        "database": True,
        "model": False,
        "redis": False,
        "storage": False,
    }
    assert checks["model"]["detail"] == "The model is missing; activate one."
    assert api.get("/healthz").status_code == 200


def test_readyz_does_not_wait_for_a_part_that_hangs(monkeypatch: pytest.MonkeyPatch, reel: Reel) -> None:
    monkeypatch.setattr("reel_shared.web.health.CHECK_SECONDS", 0.3)
    assert client().get("/readyz").json()["status"] == "ready"
    answer = client(ready=[Check("slow", lambda: time.sleep(2))]).get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["slow"]["ok"]) == (503, False)
    assert answer.elapsed.total_seconds() < 1.5


def test_metrics_count_by_route_not_by_path() -> None:
    api = raising(BadRequest("no"))
    api.get("/v1/raise/unguessable-7")
    api.get("/v1/unmatched-7")
    text = api.get("/metrics").text
    assert 'reel_request_seconds_count{method="GET",route="/v1/raise/{name}",status="400"}' in text
    assert 'route="unmatched",status="404"' in text
    assert "unguessable-7" not in text
    assert "unmatched-7" not in text


def test_metrics_are_not_told_through_an_edge() -> None:
    answer = client().get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"})
    assert answer.status_code == 404
    assert "reel_" not in answer.text


def test_lifespans_of_application_and_routers_run() -> None:
    seen: list[str] = []

    def life(name: str) -> Callable[[FastAPI], Any]:
        @asynccontextmanager
        async def run(_app: FastAPI) -> AsyncIterator[None]:
            seen.append(f"{name} up")
            yield
            seen.append(f"{name} down")

        return run

    with client(APIRouter(lifespan=life("router")), lifespan=life("app")):
        assert sorted(seen) == ["app up", "router up"]
    assert sorted(seen[2:]) == ["app down", "router down"]


def test_openapi_tells_about_keys_problems_and_bodies(app: FastAPI) -> None:
    found = app.openapi()
    assert found["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    operations = {
        f"{method} {path}": operation
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1")
    }
    for name, operation in operations.items():
        assert not {"4XX", "5XX", "default"} & operation["responses"].keys(), name
        refused = {status for status in operation["responses"] if status >= "4"}
        for status in refused:
            assert "application/problem+json" in operation["responses"][status]["content"], (name, status)
        assert ("security" in operation) == (name != "get /v1/limits"), name
        assert ("security" in operation) == ({"401", "429", "500", "503"} <= refused), name
    body = operations["post /v1/variants"]["requestBody"]["content"]["application/json"]["schema"]
    for reference in references(found):
        place: Any = found
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert place, reference
    fields = found["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"]
    assert {"dataset", "seed", "metadata"} <= set(fields)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


# --- lists ------------------------------------------------------------------------------------------------


def add_jobs(count: int, state: str = "queued") -> list[str]:
    now = utcnow()
    ids = [f"job_{state}_{number:04}" for number in range(count)]
    with transaction() as session:
        session.add_all(
            Job(id=job_id, kind="a.b", queue="a", state=state, max_attempts=1, request={}, created_at=now)
            for job_id in ids
        )
    return ids


def walk(limit: int, **filters: str | None) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        with reading() as session:
            wanted = listing(cursor, limit, **filters)
            query = sa.select(Job).filter_by(**wanted.filters)
            found = wanted.page(session, query, Job, lambda job: {"id": job.id})
        pages.append([row["id"] for row in found["data"]])
        cursor = found["next_cursor"]
        if cursor is None:
            return pages


def test_paging_through_equal_timestamps_shows_each_row_once(databases: str) -> None:
    ids = add_jobs(300)
    pages = walk(70)
    assert [len(page) for page in pages] == [70, 70, 70, 70, 20]
    assert [job_id for page in pages for job_id in page] == sorted(ids, reverse=True)
    assert [len(page) for page in walk(150)] == [150, 150]


def test_a_cursor_keeps_its_filters(databases: str) -> None:
    add_jobs(5, "queued")
    add_jobs(5, "failed")
    assert [len(page) for page in walk(2, state="failed", kind=None)] == [2, 2, 1]
    with reading() as session:
        first = listing(None, 2, state="failed", kind=None)
        page = first.page(session, sa.select(Job).filter_by(**first.filters), Job, lambda job: {"id": job.id})
    cursor = page["next_cursor"]
    assert listing(cursor, 2, state=None, kind=None).filters == {"state": "failed"}
    for other in ({"state": "queued", "kind": None}, {"state": None, "kind": "a.b"}, {"kind": None}):
        with pytest.raises(BadRequest, match="other filters"):
            listing(cursor, 2, **other)


@pytest.mark.parametrize("cursor", ["x", "%%", "e30", "WzEsMiwzXQ", "WyIyMDI2LTAxLTAxIiwiYSIse31d", "é"])
def test_foreign_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(BadRequest, match="start again"):
        listing(cursor, 10)


def test_a_cursor_of_nothing_but_brackets_is_refused() -> None:
    with pytest.raises(BadRequest, match="start again"):
        listing(base64.urlsafe_b64encode(b"[" * 99_999).decode(), 10)


def test_limits_are_coerced() -> None:
    assert [listing(None, limit).limit for limit in (None, 0, -3, 7, 10**9)] == [50, 1, 1, 7, 200]


def test_the_limit_is_coerced_over_http_too(api: Any) -> None:
    reader: httpx.Client = api.client("read")
    add_jobs(3)
    assert len(reader.get("/v1/jobs", params={"limit": 10**9}).json()["data"]) == 3
    assert len(reader.get("/v1/jobs", params={"limit": 0}).json()["data"]) == 1


def test_a_router_answers_its_own_paths_and_leaves_all_others() -> None:
    def answer(path: str) -> Callable[[], str]:
        return lambda: path

    def answering(*paths: str) -> Router:
        router = Router()
        for path in paths:
            router.add_api_route(path, answer(path))
        return router

    whole = Router()
    whole.include_router(answering("/v1/movies", "/v1/movies/{movie_id}/frames"))
    others = answering("/v1/jobs/{job_id}", "/jobs/{job_id}", "/"), answering("/{anything}/x")
    outer = TestClient(create_app("Test", [whole, *others]))
    asked = ["/v1/movies", "/v1/movies/a/frames", "/v1/jobs/a", "/jobs/a", "/", "/what/x", "/v1/x"]
    found = {path: outer.get(path) for path in asked}
    assert [(path, answer.json()) for path, answer in found.items() if answer.status_code == 200] == [
        ("/v1/movies", "/v1/movies"),
        ("/v1/movies/a/frames", "/v1/movies/{movie_id}/frames"),
        ("/v1/jobs/a", "/v1/jobs/{job_id}"),
        ("/jobs/a", "/jobs/{job_id}"),
        ("/", "/"),
        ("/what/x", "/{anything}/x"),
        ("/v1/x", "/{anything}/x"),
    ]
    assert outer.get("/v1/movie").status_code == 404
    assert outer.post("/v1/movies").status_code == 405
    with pytest.raises(ValueError, match="prefix"):
        whole.include_router(Router(), prefix="/within")
