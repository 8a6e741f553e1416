"""What the tests of the web app share: one application with a job endpoint, real HTTP, keys, and job steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.responses import Response

from reel_shared import contracts, jobs
from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest
from reel_shared.db.engine import transaction
from reel_shared.security import create_key
from reel_shared.testing.stack import Reel
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Principal, require
from reel_web.api import router as web

Anyone = Annotated[Principal, Depends(require("submit", "demo"))]


class Variants(MakeVariantsRequest, Submission):
    """The body of the one job endpoint that these tests need."""


def submitting_router() -> APIRouter:
    router = APIRouter()

    @router.post("/v1/variants", status_code=202)
    def make_variants(body: Variants, principal: Anyone, request: Request) -> Response:
        return submit_job(MAKE_VARIANTS, body, principal, request)

    return router


@dataclass
class Api:
    """A served application. ``client("read")`` is an HTTP client whose key has that scope; no scope, no key."""

    url: str
    clients: list[httpx.Client]

    def token(self, *scopes: str) -> str:
        with transaction() as session:
            return create_key(session, "test", scopes)[1]

    def client(self, *scopes: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(*scopes)}"} if scopes else {}
        made = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)
        self.clients.append(made)
        return made


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], str]]:
    """Serve applications with uvicorn until the test ends; returns their address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: FastAPI, port: int = 0) -> str:
        config = uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield start
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join(10)


@pytest.fixture
def app(reel_database: Reel) -> FastAPI:
    return create_app("Test", [submitting_router(), web])


@pytest.fixture
def api(app: FastAPI, serve: Callable[[FastAPI], str]) -> Iterator[Api]:
    made = Api(serve(app), [])
    yield made
    for client in made.clients:
        client.close()


RESULT = contracts.MakeVariantsResult(sources=1, made={"log": 1}, already=0, skipped_low_contrast={})


@dataclass
class Worker:
    """Does by hand what a worker does to a job."""

    def claim(self, job_id: str) -> jobs.Lease:
        with transaction() as session:
            lease = jobs.claim(session, job_id)
        assert lease is not None
        return lease

    def progress(self, lease: jobs.Lease, done: int, total: int) -> None:
        with transaction() as session:
            jobs.progress(session, lease, done, total, unit="pictures", message="making variants")

    def metric(self, lease: jobs.Lease, **data: float) -> None:
        with transaction() as session:
            jobs.metric(session, lease, data)

    def succeed(self, lease: jobs.Lease, result: contracts.Model = RESULT) -> None:
        with transaction() as session:
            jobs.succeed(session, lease, jobs.Outcome(result))


@pytest.fixture
def worker() -> Worker:
    return Worker()
