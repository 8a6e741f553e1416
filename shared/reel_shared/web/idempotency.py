"""Idempotency-Key: the first answer is remembered in the very transaction that does the work.

So nothing can lie between the two: a crash leaves neither job nor record, and no key is ever stuck. What is
compared is the validated request with its path, not raw bytes; uploads count by the hash of their content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from starlette.requests import Request

from reel_shared.db.models import IdempotencyRecord, utcnow
from reel_shared.errors import BadRequest, Conflict, Unprocessable
from reel_shared.settings import settings

HEADER = "idempotency-key"
IN_FLIGHT_SECONDS = 5
"""PostgreSQL waits so long for a request in flight with the same key before it answers 409."""
_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True)
class Answer:
    body: dict[str, Any]
    replayed: bool

    @property
    def headers(self) -> dict[str, str]:
        return {"Idempotent-Replayed": "true"} if self.replayed else {}


def once(
    session: Session,
    request: Request,
    owner: str,
    content: Mapping[str, Any],
    act: Callable[[], dict[str, Any]],
    *,
    status: int = 202,
) -> Answer:
    """Return what ``act()`` answers, or, when this owner's key was used before, what it answered then.

    ``act`` works in ``session``; when it raises, its work and the record go together and the key stays free:
    a refused request has done nothing that a repetition could double.

    Raises:
        BadRequest: the key is empty, too long or not printable ASCII.
        Unprocessable: the key was used for something else.
        Conflict: another request with this key is still at work.
    """
    key = _key(request)
    if key is None:
        return Answer(act(), replayed=False)
    digest = _digest(request, content)
    record = IdempotencyRecord(owner=owner, key=key, request_sha256=digest)
    if not _insert(session, record):
        record = session.scalars(
            sa.select(IdempotencyRecord).filter_by(owner=owner, key=key).with_for_update()
        ).one()
        if record.created_at > utcnow() - timedelta(hours=settings().web.idempotency_hours):
            return _replay(record, digest)
        record.request_sha256, record.created_at = digest, utcnow()
    record.body, record.status, record.headers = act(), status, {}
    return Answer(record.body, replayed=False)


def asks_once(request: Request) -> bool:
    """Whether the request has a key."""
    return HEADER in request.headers


def _key(request: Request) -> str | None:
    key = request.headers.get(HEADER)
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise BadRequest("Idempotency-Key must be 1 to 255 printable ASCII characters, such as a UUID.")
    return key


def _insert(session: Session, record: IdempotencyRecord) -> bool:
    """Add the record; False when the key has one. PostgreSQL waits here for a request that is in flight."""
    postgresql = session.get_bind().dialect.name == "postgresql"
    try:
        with session.begin_nested():
            if postgresql:
                session.execute(sa.text(f"SET LOCAL lock_timeout = '{IN_FLIGHT_SECONDS}s'"))
            session.add(record)
            session.flush()
            if postgresql:
                session.execute(sa.text("SET LOCAL lock_timeout = DEFAULT"))
    except IntegrityError:
        return False
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise Conflict(
            "A request with this Idempotency-Key is still at work; ask again in a moment."
        ) from error
    return True


def _replay(record: IdempotencyRecord, digest: str) -> Answer:
    if record.request_sha256 != digest:
        raise Unprocessable("This Idempotency-Key was used for another request; take a new key.")
    return Answer(record.body or {}, replayed=True)


def _digest(request: Request, content: Mapping[str, Any]) -> str:
    whole = json.dumps([request.method, request.url.path, content], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()
