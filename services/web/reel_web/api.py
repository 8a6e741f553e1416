"""The endpoints that belong to no single service: jobs, API keys, uploads and the published limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import Depends, Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from reel_shared import jobs
from reel_shared.contracts import KINDS, StoredFile
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import ApiKey, Job, KeyChange
from reel_shared.errors import Conflict, NotFound, Unprocessable
from reel_shared.quotas import KeyLimits, effective
from reel_shared.security import KeyAction, Principal, Scope, create_key, limit_key, revoke_key
from reel_shared.settings import settings
from reel_shared.web.accepted import (
    MAX_WAIT_SECONDS,
    HeldResponse,
    accepted,
    job_response,
    preferred_wait,
    unchanged_response,
)
from reel_shared.web.auth import Admin, Owner, Visitor, require
from reel_shared.web.envelope import envelope, timestamp, with_urls
from reel_shared.web.events import event_response
from reel_shared.web.idempotency import once
from reel_shared.web.media import ACCEPTED
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.refusals import refuses
from reel_shared.web.requests import large_body
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView, Page
from reel_shared.web.uploads import largest, receive_upload
from reel_web import feedback, queues, webhooks

router = Router()
router.include_router(feedback.router)
router.include_router(queues.router)
router.include_router(webhooks.router)
JobId = Annotated[str, Path(examples=["job_01978c0de5b47cc2a1c5d0e0ffb2a4c1"])]
Lister = Annotated[Principal, Depends(require("read", "submit"))]
StateName = Literal["queued", "running", "canceling", "succeeded", "failed", "canceled"]


# --- jobs -------------------------------------------------------------------------------------------------


@router.get("/v1/jobs", tags=["jobs"], response_model=Page[JobView])
@refuses(Unprocessable)
def list_jobs(
    principal: Lister,
    state: StateName | None = None,
    kind: str | None = None,
    parent_id: str | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """The newest jobs first: all of them with the scope `read`, otherwise those of the calling key.

    A job's parts stand for nobody's wish of their own: they are listed with `parent_id` only.
    """
    if kind is not None and kind not in KINDS:
        raise Unprocessable(f"There is no job kind {kind!r}; the kinds are {', '.join(KINDS)}.")
    wanted = listing(cursor, limit, state=state, kind=kind, parent_id=parent_id)
    query = sa.select(Job).filter_by(**wanted.filters)
    if "parent_id" not in wanted.filters:
        query = query.where(Job.part.is_(None))
    if not principal.may("read"):
        query = query.where(Job.owner == principal.id)
    with reading() as session:
        return JSONResponse(wanted.page(session, query, Job, envelope))


@router.get(
    "/v1/jobs/{job_id}",
    tags=["jobs"],
    response_model=JobView,
    responses={304: {"description": "Nothing changed since the ETag in If-None-Match"}},
)
async def get_job(job_id: JobId, principal: Owner, request: Request) -> Response:
    """One job. `Prefer: wait=N` holds the answer until it has ended, `Retry-After` says when to ask again."""
    unchanged = await unchanged_response(principal, job_id, request)
    if unchanged is not None:
        return unchanged
    return await run_in_threadpool(_job_response, job_id, principal, request)


def _job_response(job_id: str, principal: Principal, request: Request) -> Response:
    with reading(alone=True) as session:
        job = _visible(session, principal, job_id)
        seconds = preferred_wait(request)
        if seconds and job.state not in jobs.TERMINAL:
            return HeldResponse(job_id, request, None, seconds)
        return job_response(job, request)


@router.post(
    "/v1/jobs/{job_id}/cancel",
    tags=["jobs"],
    response_model=JobView,
    responses={202: {"model": JobView, "description": "It runs and has been asked to stop"}},
)
@refuses(Conflict)
def cancel_job(job_id: JobId, principal: Visitor) -> Response:
    """Cancel: a waiting job at once (200 `canceled`), a running one soon (202 `canceling`); 409 after its end."""
    with transaction() as session:
        _visible(session, principal, job_id)
        job = jobs.cancel(session, job_id)
        return JSONResponse(envelope(job), 200 if job.state == jobs.State.CANCELED else 202)


@router.post("/v1/jobs/{job_id}/replay", tags=["jobs"], status_code=202, response_model=JobView)
def replay_job(job_id: JobId, principal: Visitor, request: Request) -> Response:
    """Submit a failed or canceled job's request again, as a new job; `metadata.replay_of` names the old one."""
    with transaction() as session:
        _visible(session, principal, job_id)
        answer = once(session, request, principal.id, {}, lambda: envelope(jobs.replay(session, job_id)))
    return accepted(answer.body, request, headers=answer.headers)


@router.get(
    "/v1/jobs/{job_id}/events",
    tags=["jobs"],
    response_class=EventSourceResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "state, progress, metric, curve, log, end"}
    },
)
def job_events(job_id: JobId, principal: Owner, request: Request) -> Response:
    """Server-sent events `state`, `progress`, `metric`, `curve` and `log` (of trainings), `end`; closed after 10
    minutes, `Last-Event-ID` goes on."""
    with reading() as session:
        _visible(session, principal, job_id)
    return event_response(job_id, request)


def _visible(session: Session, principal: Principal, job_id: str) -> Job:
    job = session.get(Job, job_id)
    if job is None or not principal.sees(job.owner):
        raise NotFound(f"There is no job {job_id}.")
    return job


# --- API keys ---------------------------------------------------------------------------------------------


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, examples=["nightly training"])
    scopes: list[Scope] = Field(min_length=1, examples=[["read", "submit"]])
    expires_at: AwareDatetime | None = None
    limits: KeyLimits = KeyLimits()


class KeyView(BaseModel):
    id: str
    name: str
    prefix: str = Field(description="the visible part of the token: reel_<prefix>_…")
    scopes: list[Scope]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None

    own_limits: KeyLimits = Field(description="what it has of its own; the rest is as the deployment says")
    limits: dict[str, int] = Field(description="what holds for it; 0: no limit")


class CreatedKey(KeyView):
    token: str = Field(description="shown this once; only its hash is kept")


@router.post("/v1/keys", tags=["keys"], status_code=201, response_model=CreatedKey)
def create_api_key(body: NewKey, principal: Admin, request: Request) -> Response:
    """Make a key. Its token is in this answer and nowhere else: a repetition with the same Idempotency-Key is 409."""
    tokens: list[str] = []
    with transaction() as session:

        def act() -> dict[str, Any]:
            key, token = create_key(
                session,
                body.name,
                body.scopes,
                body.expires_at,
                limits=body.limits.model_dump(),
                by=principal.id,
            )
            tokens.append(token)
            return _key_view(key)

        content = body.model_dump(mode="json")
        answer = once(session, request, principal.id, content, act, status=201)
    if answer.replayed:
        made = answer.body["id"]
        raise Conflict(
            f"This request has already made the key {made}, whose token was shown then; revoke it."
        )
    return JSONResponse({**answer.body, "token": tokens[0]}, 201, headers={"Cache-Control": "no-store"})


@router.get("/v1/keys", tags=["keys"], response_model=Page[KeyView])
def list_api_keys(_principal: Admin, cursor: Cursor = None, limit: Limit = None) -> Response:
    """Every key, revoked ones too, without tokens; `limits` are those that hold for it."""
    with reading() as session:
        return JSONResponse(listing(cursor, limit).page(session, sa.select(ApiKey), ApiKey, _key_view))


@router.put("/v1/keys/{key_id}/limits", tags=["keys"], response_model=KeyView)
def limit_api_key(key_id: str, body: KeyLimits, principal: Admin) -> Response:
    """Give a key these limits of its own and no others. In force here at once, elsewhere within 5 seconds."""
    with transaction() as session:
        return JSONResponse(_key_view(limit_key(session, key_id, body.model_dump(), by=principal.id)))


@router.delete("/v1/keys/{key_id}", tags=["keys"], status_code=204)
def revoke_api_key(key_id: str, principal: Admin) -> None:
    """Revoke a key. This process refuses it from now on, others within 5 seconds."""
    with transaction() as session:
        revoke_key(session, key_id, by=principal.id)


class KeyChangeView(BaseModel):
    id: str
    key_id: str
    action: KeyAction
    by: str = Field(description="the key that asked for it; empty: whoever runs the platform, on its machine")
    scopes: list[Scope]
    limits: dict[str, int] = Field(description="of its own, as they were from then on")
    created_at: AwareDatetime


@router.get("/v1/key-changes", tags=["keys"], response_model=Page[KeyChangeView])
def list_key_changes(_principal: Admin, cursor: Cursor = None, limit: Limit = None) -> Response:
    """What was done to which key, by whom and when, the newest first; nothing here is ever altered."""
    with reading() as session:
        page = listing(cursor, limit).page(session, sa.select(KeyChange), KeyChange, _key_change_view)
        return JSONResponse(page)


def _key_change_view(row: KeyChange) -> dict[str, Any]:
    return {
        "id": row.id,
        "key_id": row.key_id,
        "action": row.action,
        "by": row.by,
        "scopes": row.scopes,
        "limits": row.limits or {},
        "created_at": timestamp(row.created_at),
    }


def _key_view(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_at": timestamp(key.created_at),
        "expires_at": timestamp(key.expires_at),
        "revoked_at": timestamp(key.revoked_at),
        "own_limits": KeyLimits.model_validate(key.limits or {}).model_dump(),
        "limits": effective(key.limits),
    }


# --- uploads and limits -----------------------------------------------------------------------------------

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"type": "object", "required": ["file"], "properties": {"file": _BINARY["schema"]}}


@router.post(
    "/v1/uploads",
    tags=["uploads"],
    status_code=201,
    response_model=StoredFile,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": _BINARY, "multipart/form-data": {"schema": _FORM}},
        }
    },
)
@large_body(largest)
async def create_upload(request: Request, principal: Visitor) -> Response:
    """Store a picture, film, zip or safetensors file, told by its first bytes, and name its `key` for later.

    The body is the file itself or a multipart form with the part `file`. The same content gets the same key.
    """
    stored = await receive_upload(request, principal)
    return JSONResponse(with_urls(stored.model_dump()), 201)


@router.get("/v1/limits", tags=["limits"])
def get_limits() -> dict[str, Any]:
    """The bounds on what is let in, in bytes, pixels, rows and seconds."""
    return {
        **settings().limits.model_dump(),
        "rates": settings().rates.model_dump(),
        "wait_seconds": MAX_WAIT_SECONDS,
        "idempotency_hours": settings().web.idempotency_hours,
        "media_types": [media.name for media in ACCEPTED],
    }
