"""`/settings`: API keys, how each part does, and how long what is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reel_shared import queues, webhooks
from reel_shared.contracts import KINDS, PART_KINDS
from reel_shared.db.engine import reading
from reel_shared.db.models import ApiKey, Job, Lock, WebhookEndpoint, utcnow
from reel_shared.jobs import State
from reel_shared.security import SCOPES, Principal
from reel_shared.settings import settings
from reel_shared.web.envelope import timestamp
from reel_shared.web.health import look
from reel_shared.web.routing import Router
from reel_shared.webhooks import EVENTS
from reel_web.queues import seconds_since
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Viewer
from reel_web.webhooks import endpoint_view

router = Router(route_class=PageRoute)
KEY_ROWS = 200
SCOPE_WORDS = {
    "read": "see everything",
    "submit": "submit jobs, change pictures, promote models",
    "admin": "everything, keys included",
    "demo": "only what visitors of the demo page may do",
}


@router.get("/settings")
@router.get("/settings.json")
async def show_settings(request: Request, viewer: Viewer) -> Response:
    """Keys for whoever administers, health and retention for everybody who is signed in."""
    health = await look()
    # Of a database that is away the page says so, and nothing else could be read from it.
    known = health["database"]["ok"]
    facts = (
        await run_in_threadpool(_facts, viewer)
        if known
        else {"keys": None, "queues": [], "reaper": None, "webhooks": None}
    )
    data = {
        **facts,
        "admin": viewer.may("admin"),
        "me": viewer.id,
        "scopes": [{"name": name, "words": SCOPE_WORDS[name]} for name in SCOPES],
        "health": health,
        "retention": _retention(),
        "events": list(EVENTS),
        "kinds": sorted(set(KINDS) - PART_KINDS),
        "may_read": viewer.may("read"),
    }
    return await run_in_threadpool(page, request, "settings.html", data)


def _facts(viewer: Principal) -> dict[str, Any]:
    with reading() as session:
        return {
            "keys": _keys(session) if viewer.may("admin") else None,
            "queues": _queues(session),
            "reaper": _reaper(session),
            "webhooks": _webhooks(session, viewer),
        }


def _keys(session: Session) -> list[dict[str, Any]]:
    query = (
        sa.select(ApiKey).order_by(ApiKey.revoked_at.is_not(None), ApiKey.created_at.desc()).limit(KEY_ROWS)
    )
    now = utcnow()
    return [
        {
            "id": key.id,
            "name": key.name,
            "prefix": f"reel_{key.prefix}_…",
            "scopes": key.scopes,
            "created_at": timestamp(key.created_at),
            "expires_at": timestamp(key.expires_at),
            "revoked_at": timestamp(key.revoked_at),
            "state": "revoked"
            if key.revoked_at
            else "expired"
            if key.expires_at and key.expires_at <= now
            else "valid",
        }
        for key in session.scalars(query)
    ]


def _queues(session: Session) -> list[dict[str, Any]]:
    """Return, for each queue, what waits and for how long, what runs, and when a job last ended well."""
    return [
        {
            "name": row.name,
            "waiting": row.queued,
            "waiting_seconds": seconds_since(row.oldest),
            "running": row.running,
            "paused": row.pause is not None,
            "last_success": timestamp(_last_success(session, row.name)),
        }
        for row in queues.standing(session)
    ]


def _last_success(session: Session, queue: str) -> datetime | None:
    return session.scalar(
        sa.select(Job.finished_at)
        .where(Job.queue == queue, Job.state == State.SUCCEEDED)
        .order_by(Job.created_at.desc())
        .limit(1)
    )


def _webhooks(session: Session, viewer: Principal) -> list[dict[str, Any]]:
    query = webhooks.visible(viewer).order_by(WebhookEndpoint.created_at.desc()).limit(KEY_ROWS)
    return [endpoint_view(row) for row in session.scalars(query)]


def _reaper(session: Session) -> dict[str, Any]:
    """Say whether somebody watches leases: the leader's lock is renewed every few seconds."""
    lock = session.get(Lock, "reaper")
    return {"ok": lock is not None and lock.until > utcnow()}


def _retention() -> list[dict[str, str]]:
    web, s3, inference = settings().web, settings().s3, settings().inference
    return [
        {
            "what": "Pictures of the demo's visitors, and what was drawn of them",
            "kept": f"{web.visitor_hours:g} hours; of a wrong answer until it was looked at",
            "setting": "REEL_WEB__VISITOR_HOURS",
        },
        {
            "what": "Links to files",
            "kept": f"{s3.url_lifetime_seconds // 60} minutes",
            "setting": "REEL_S3__URL_LIFETIME_SECONDS",
        },
        {
            "what": "Answers remembered for an Idempotency-Key",
            "kept": f"{web.idempotency_hours:g} hours",
            "setting": "REEL_WEB__IDEMPOTENCY_HOURS",
        },
        {
            "what": "What webhooks were told",
            "kept": f"{settings().webhooks.keep_days:g} days",
            "setting": "REEL_WEBHOOKS__KEEP_DAYS",
        },
        {
            "what": "Answers of a model remembered by picture",
            "kept": f"{inference.cache_seconds // 60} minutes",
            "setting": "REEL_INFERENCE__CACHE_SECONDS",
        },
    ]
