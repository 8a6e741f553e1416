"""The typed client against a served API: what it sends, what it repeats, and what it tells when it fails."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from reel_shared import contracts, jobs
from reel_shared.client import PATHS, ApiError, Client, Unreachable
from reel_shared.contracts import MakeVariantsRequest, MakeVariantsResult
from reel_shared.db.engine import reading
from reel_shared.db.models import Job
from reel_shared.errors import BadRequest, NoModel, Unavailable
from reel_shared.testing.stack import Reel
from reel_shared.web.app import create_app

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture
def client(api: Any) -> Client:
    return Client(api.url, api.token("read", "submit"), patience=5)


def test_the_client_stops_waiting_at_the_states_that_a_job_never_leaves() -> None:
    assert contracts.TERMINAL == jobs.TERMINAL == set(jobs.State) - jobs.LIVE - {jobs.State.QUEUED}


def count_jobs() -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Job)) or 0


def test_the_client_is_light() -> None:
    program = "import sys, reel_shared.client; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"sqlalchemy", "fastapi", "starlette", "celery", "minio", "numpy", "torch"} & set(loaded)


def test_every_kind_has_a_path_and_a_method() -> None:
    kinds = set(contracts.KINDS) - contracts.PART_KINDS
    assert {kind.name for kind in PATHS} == kinds
    assert all(callable(getattr(Client, name.partition(".")[2])) for name in kinds)


def test_submit_wait_and_result(client: Client, worker: Any) -> None:
    job = client.make_variants(MakeVariantsRequest(dataset="d", label="mulan"), metadata={"batch": 1})
    assert (job["state"], job["request"]["label"], job["metadata"]) == ("queued", "mulan", {"batch": 1})
    seen: list[int] = []

    def live() -> None:
        lease = worker.claim(job["id"])
        worker.progress(lease, 4, 8)
        time.sleep(1.2)
        worker.succeed(lease)

    thread = threading.Thread(target=live)
    thread.start()
    ended = client.wait(job["id"], on_progress=lambda job: seen.append(job["progress"]["done"]), timeout=20)
    thread.join()
    assert ended["state"] == "succeeded"
    assert seen[-1] == 4
    assert client.result(ended, MakeVariantsResult).made == {"log": 1}
    assert client.job(job["id"])["state"] == "succeeded"


def test_only_what_was_set_is_sent() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(202, json={})

    with Client("http://x", "t", transport=httpx.MockTransport(answer)) as client:
        client.make_variants(MakeVariantsRequest(dataset="d"))
        client.submit(contracts.MAKE_VARIANTS, MakeVariantsRequest(), wait=9.6, idempotency_key="mine")
    assert sent[0].read() == b'{"dataset":"d","metadata":{}}'
    assert len(sent[0].headers["idempotency-key"]) == 32
    assert (sent[1].headers["idempotency-key"], sent[1].headers["prefer"]) == ("mine", "wait=10")


@pytest.mark.parametrize(("patience", "sent"), [(None, None), (0.25, "250m"), (2, "2000m"), (1e-9, "1m")])
def test_a_picture_says_how_long_its_answer_is_worth(patience: float | None, sent: str | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"patience": request.headers.get("Grpc-Timeout")})

    client = Client("http://reel.test", transport=httpx.MockTransport(answer))
    assert client.predict(b"picture", patience=patience) == {"patience": sent}


def test_waiting_has_an_end(client: Client) -> None:
    job = client.make_variants(MakeVariantsRequest())
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="still queued"):
        client.wait(job["id"], timeout=1.3)
    assert 1.2 < time.monotonic() - started < 3


def test_cancel_replay_and_lists(client: Client) -> None:
    jobs = [client.make_variants(MakeVariantsRequest()) for _ in range(5)]
    assert client.cancel(jobs[0]["id"])["state"] == "canceled"
    assert client.replay(jobs[0]["id"])["metadata"] == {"replay_of": jobs[0]["id"]}
    assert [job["id"] for job in client.jobs(limit=2)][1:] == [job["id"] for job in reversed(jobs)]
    assert [job["id"] for job in client.jobs(state="canceled")] == [jobs[0]["id"]]
    with pytest.raises(ApiError, match="is canceled and has no result"):
        client.result(client.job(jobs[0]["id"]), MakeVariantsResult)


def test_a_refusal_is_one_clear_sentence(client: Client, api: Any) -> None:
    with pytest.raises(ApiError) as missing:
        client.job("job_0")
    assert str(missing.value) == "There is no job job_0."
    assert (missing.value.status, missing.value.code) == (404, "not-found")
    assert missing.value.problem["request_id"].startswith("req_")
    with pytest.raises(ApiError, match=r"#/seed: .*integer"):
        client.post("/v1/variants", json={"seed": "x"})
    with Client(api.url) as stranger, pytest.raises(ApiError, match="Send an API key"):
        list(stranger.jobs())
    failed = {"id": "job_1", "kind": "k", "state": "failed", "error": BadRequest("Cut it.").problem()}
    with pytest.raises(ApiError, match=r"^Cut it\.$"):
        client.result(failed, MakeVariantsResult)


def test_files_go_up_and_come_down(reel: Reel, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    from_disk, from_memory = client.upload(path), client.upload(PNG)
    assert (from_disk.key, from_disk.size) == (from_memory.key, len(PNG))
    assert from_disk.url
    assert client.download(from_disk.url) == PNG
    with pytest.raises(ApiError, match="refused the link"):
        client.download(from_disk.url.replace(".png", ".jpg"))
    with pytest.raises(ApiError, match="first bytes"):
        client.upload(b"text")


def test_a_film_goes_up_before_its_job() -> None:
    sent: list[httpx.Request] = []
    stored = contracts.StoredFile(key="uploads/aa/b.mp4", media_type="video/mp4", size=4, sha256="0" * 64)

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        sent.append(request)
        return httpx.Response(201, json=stored.model_dump() if request.url.path == "/v1/uploads" else {})

    film = Path(__file__)
    with Client("http://x", "t", transport=httpx.MockTransport(answer)) as client:
        client.add_movie(film, label="mulan", every_seconds=2)
    assert [request.url.path for request in sent] == ["/v1/uploads", "/v1/movies"]
    assert sent[0].content == film.read_bytes()
    assert b'"key":"uploads/aa/b.mp4"' in sent[1].content
    assert b'"title":"test_client"' in sent[1].content


# --- repeating --------------------------------------------------------------------------------------------


class LosesAnswers(httpx.HTTPTransport):
    """Sends every request, but loses the first answers, as a broken connection does."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.lost = lost

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if self.lost:
            self.lost -= 1
            answer.read()
            answer.close()
            raise httpx.ReadError("connection reset", request=request)
        return answer


def test_a_lost_answer_makes_no_second_job(api: Any) -> None:
    with Client(api.url, api.token("submit"), transport=LosesAnswers(3), patience=10) as client:
        job = client.make_variants(MakeVariantsRequest())
    assert job["state"] == "queued"
    assert count_jobs() == 1


def test_an_api_that_starts_late_is_waited_for(app: FastAPI, api: Any, serve: Callable[..., str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    timer = threading.Timer(0.7, serve, [app, port])
    timer.start()
    with Client(f"http://127.0.0.1:{port}", api.token("submit"), patience=10) as client:
        assert client.make_variants(MakeVariantsRequest())["state"] == "queued"
    timer.join()
    assert count_jobs() == 1


def test_nobody_there_is_told_in_one_sentence() -> None:
    started = time.monotonic()
    with Client("http://127.0.0.1:1", patience=0.5) as client, pytest.raises(Unreachable) as error:
        client.limits()
    assert "Nothing answers at http://127.0.0.1:1" in str(error.value)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (lambda: PlainTextResponse("bad gateway", 502), 3),
        (lambda: JSONResponse({"detail": "busy"}, 429, headers={"Retry-After": "0"}), 3),
        (lambda: JSONResponse({"detail": "slow down"}, 429, media_type="application/problem+json"), 1),
        (lambda: PlainTextResponse("oops", 500), 1),
    ],
)
def test_which_answers_are_asked_for_again(
    reel_database: Reel, serve: Callable[..., str], answer: Callable[[], Response], asked: int
) -> None:
    keys: list[str] = []
    router = APIRouter()

    @router.post("/v1/things")
    def things(request: Request) -> Response:
        keys.append(request.headers["idempotency-key"])
        return answer() if len(keys) < 3 else JSONResponse({"fine": True})

    with Client(serve(create_app("Test", [router])), patience=5) as client:
        if asked == 3:
            assert client.post("/v1/things") == {"fine": True}
        else:
            with pytest.raises(ApiError):
                client.post("/v1/things")
    assert len(keys) == asked
    assert len(set(keys)) == 1


@pytest.mark.parametrize(("error", "repeated"), [(NoModel(), False), (Unavailable("Later."), True)])
def test_a_503_is_repeated_only_when_that_may_help(
    reel_database: Reel, serve: Callable[..., str], error: Exception, repeated: bool
) -> None:
    asked: list[float] = []
    router = APIRouter()

    @router.get("/v1/things")
    def things() -> None:
        asked.append(time.monotonic())
        raise error

    with Client(serve(create_app("Test", [router])), patience=3) as client, pytest.raises(ApiError):
        client.get("/v1/things")
    assert (len(asked) > 1) == repeated
    if repeated:
        assert asked[1] - asked[0] >= 2  # as Retry-After says


class Storage(BaseHTTPRequestHandler):
    """Gives a file in full to the last of those who ask; the ones before get a part of it, or a refusal."""

    content = bytes(range(256)) * 2_000
    answers: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        answer = self.answers.pop(0) if self.answers else "whole"
        self.send_response({"busy": 503, "refused": 403}.get(answer, 200))
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(self.content[: 1_000 if answer == "broken" else None])
        self.close_connection = True

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def storage() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Storage) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/exports/a.zip?signature=1"
        server.shutdown()


def test_a_file_that_breaks_off_is_fetched_again(storage: str, tmp_path: Path) -> None:
    Storage.answers = ["broken", "busy", "broken"]
    with Client("http://127.0.0.1:1", patience=10) as client:
        client.save(storage, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == Storage.content
    assert [one.name for one in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize(
    ("answers", "words"), [(["broken"] * 99, r"Nothing answers at \S+:\d+ \("), (["refused"], r"\(403\)")]
)
def test_a_file_that_never_comes_leaves_nothing_behind(
    storage: str, tmp_path: Path, answers: list[str], words: str
) -> None:
    Storage.answers = answers
    with Client("http://127.0.0.1:1", patience=0.5) as client, pytest.raises(ApiError, match=words):
        client.save(storage, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []
