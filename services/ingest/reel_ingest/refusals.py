"""What a collection did not store and why, a page at a time; called by api.collections."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from reel_shared.db.models import Candidate, Collection
from reel_shared.errors import BadRequest
from reel_shared.settings import settings
from reel_shared.web.pagination import DEFAULT_LIMIT

_INT64 = 2**63


class RefusalView(BaseModel):
    url: str
    reason: str
    transient: bool = Field(description="whether trying again some other day may help")


def has_transient(session: Session, collection: Collection) -> bool:
    found = sa.select(sa.exists().where(Candidate.job_id == collection.job_id, Candidate.transient.is_(True)))
    return bool(session.scalar(found))


def page(
    session: Session, collection: Collection, *, reason: str | None, cursor: str | None, limit: int | None
) -> dict[str, Any]:
    """Return ``{data, next_cursor}``. Raises ``BadRequest`` for a cursor that is not of this list."""
    size = max(1, min(limit if limit is not None else DEFAULT_LIMIT, settings().limits.page_size))
    after = 0
    if cursor:
        after, reason = _read(cursor, collection.id, reason)
    query = sa.select(Candidate).where(
        Candidate.job_id == collection.job_id, Candidate.reason != "", Candidate.id > after
    )
    if reason is not None:
        query = query.where(Candidate.reason == reason)
    found = list(session.scalars(query.order_by(Candidate.id).limit(size + 1)))
    rows = found[:size]
    data = [{"url": row.url, "reason": row.reason, "transient": row.transient} for row in rows]
    more = len(found) > size
    return {"data": data, "next_cursor": _cursor(rows[-1].id, collection.id, reason) if more else None}


def _cursor(last: int, collection_id: str, reason: str | None) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, collection_id, reason]).encode()).decode()


def _read(cursor: str, collection_id: str, reason: str | None) -> tuple[int, str | None]:
    try:
        last, belongs, bound = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        if not isinstance(last, int) or not 0 <= last < _INT64:
            raise ValueError
        if bound is not None and not (isinstance(bound, str) and bound.isprintable()):
            raise ValueError
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise BadRequest("The cursor cannot be read; start again without it.") from error
    if belongs != collection_id or (reason is not None and reason != bound):
        raise BadRequest("The cursor belongs to a list with other filters; start again without it.")
    return last, bound
