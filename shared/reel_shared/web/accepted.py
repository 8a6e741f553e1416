"""Submitting a job over HTTP, and the answers about one: 202, or held until it has ended (``Prefer: wait``).

Every service's ``api.py`` calls ``submit_job``; the job endpoints call ``job_response``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import anyio
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from reel_shared import jobs
from reel_shared.contracts import Kind, Model
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Job
from reel_shared.security import Principal
from reel_shared.web import polls
from reel_shared.web.envelope import envelope, etag, polling_headers
from reel_shared.web.etags import conditional, matches, not_modified
from reel_shared.web.idempotency import asks_once, once
from reel_shared.web.waiting import ended_within

MAX_WAIT_SECONDS = 30.0
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})")

MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=500)] | int | float | bool | None


class Submission(BaseModel):
    """Mixed into a kind's request to make it a POST body: ``class Movie(ExtractFramesRequest, Submission)``."""

    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict, max_length=32, description="the caller's own labels; shown with the job"
    )


def submit_job(
    kind: Kind,
    body: Model,
    principal: Principal,
    request: Request,
    *,
    check: Callable[[Session], object] | None = None,
    also: Callable[[Session], object] | None = None,
) -> Response:
    """Submit a job and answer 202 with its envelope; honours ``Idempotency-Key`` and ``Prefer: wait``.

    Args:
        body: the kind's request model, with or without ``Submission``.
        check: refuses by raising a ``ReelError``; reads only.
        also: writes what is to be there with the job or not at all; may refuse too.
    """
    data = body.model_dump(mode="json")
    metadata = data.pop("metadata", {})
    wanted = kind.request.model_validate(data)

    # A job by itself is one statement where transactions are far away; a key's record is one more.
    with transaction(alone=also is None and not asks_once(request)) as session:

        def act() -> dict[str, Any]:
            for wish in (check, also):
                if wish is not None:
                    wish(session)
            job = jobs.submit(session, kind, wanted, owner=principal.id, labels=metadata)
            return envelope(job)

        answer = once(session, request, principal.id, {**data, "metadata": metadata}, act)
    return accepted(answer.body, request, headers=answer.headers)


def accepted(
    job: Mapping[str, Any], request: Request, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer 202 with a job's envelope, or, with ``Prefer: wait=N``, hold the answer until the job ends."""
    found = {"Location": job["urls"]["self"], "Retry-After": "1", **(headers or {})}
    response = JSONResponse(job, 202, headers=found)
    seconds = preferred_wait(request)
    return HeldResponse(job["id"], request, response, seconds, headers=found) if seconds else response


def job_response(job: Job, request: Request, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with the job as it stands: 200 or 304, with ETag and Retry-After."""
    found = {**(headers or {}), **polling_headers(job)}
    return conditional(request, lambda: envelope(job), etag(job), headers=found)


async def unchanged_response(principal: Principal, job_id: str, request: Request) -> Response | None:
    """Answer 304 to who polls a job that they may see and that stands as they know it; None: it is to be read.

    Most answers to those who poll are this one, so it is made from few columns.
    """
    if "if-none-match" not in request.headers:
        return None
    job = await polls.standing(job_id)
    if job is None or not principal.sees(job.owner) or not matches(request, etag(job)):
        return None
    if preferred_wait(request) and job.state not in jobs.TERMINAL:
        return None
    return not_modified(etag(job), headers=polling_headers(job))


def preferred_wait(request: Request) -> float:
    """Return the seconds of ``Prefer: wait=N``, at most ``MAX_WAIT_SECONDS``; 0 when it is not asked for."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(float(found[1]), MAX_WAIT_SECONDS) if found else 0.0


class HeldResponse(Response):
    """Waits for a job's end on the event loop, holding no thread, and then answers with the job.

    When the time is over, the caller has gone or the server stops, it answers with ``otherwise``.
    """

    def __init__(
        self,
        job_id: str,
        request: Request,
        otherwise: Response | None,
        seconds: float,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.job_id, self.request, self.otherwise, self.seconds = job_id, request, otherwise, seconds
        self.extra = {name: value for name, value in (headers or {}).items() if name != "Retry-After"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ended = False
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                nonlocal ended
                ended = await ended_within(self.job_id, self.seconds)
                group.cancel_scope.cancel()

            group.start_soon(wait)
            await _disconnected(receive)
            group.cancel_scope.cancel()
        if ended or self.otherwise is None:
            applied = {**self.extra, "Preference-Applied": f"wait={int(self.seconds)}"}
            response = await run_in_threadpool(_as_it_stands, self.job_id, self.request, applied)
        else:
            response = self.otherwise
        await response(scope, receive, send)


def _as_it_stands(job_id: str, request: Request, headers: Mapping[str, str]) -> Response:
    with reading() as session:
        return job_response(jobs.get(session, job_id), request, headers=headers)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
