"""Deletes what is kept for a while only: pictures of visitors without a key, and what was drawn of them.

Called by the reaper, one at a time. A picture that somebody called wrongly answered stays until it has been looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from reel_shared.db.engine import reading
from reel_shared.db.models import Feedback, utcnow
from reel_shared.settings import settings
from reel_shared.storage import hasty_storage

if TYPE_CHECKING:  # the S3 client, which an API that takes uploads needs only at the first one
    from reel_shared.s3 import ObjectInfo

log = structlog.get_logger(__name__)
VISITORS = "uploads/visitors"
DRAWN = "explanations/visitors"
EVERY_SECONDS = 600.0
BATCH = 500
"""So many objects are deleted in one turn: whatever else the caller watches must not wait long."""


def sweep() -> int:
    """Delete what is older than ``web.visitor_hours``; returns how many objects. Raises StorageUnavailable."""
    deleted = 0
    for found in _old():
        if deleted == BATCH:
            break
        if _kept(found.key):
            continue
        hasty_storage().delete(found.key)
        deleted += 1
    if deleted:
        log.info("retention.deleted", objects=deleted)
    return deleted


def _old() -> Iterator[ObjectInfo]:
    oldest = utcnow() - timedelta(hours=settings().web.visitor_hours)
    for prefix in (VISITORS, DRAWN):
        for found in hasty_storage().list(f"{prefix}/"):
            if found.modified is not None and found.modified < oldest:
                yield found


def _kept(key: str) -> bool:
    with reading() as session:
        waiting = sa.select(Feedback.id).filter_by(key=key, right=False, done_at=None)
        return session.scalar(waiting.limit(1)) is not None
