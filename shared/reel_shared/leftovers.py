"""Files that no picture needs any more, and how they go; called by ingest, augment and trainer.

A file is named by its content, so that several pictures may lie in it.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from reel_shared.contracts import ImageState
from reel_shared.db.models import Image, TrainedModel
from reel_shared.errors import ReelError
from reel_shared.model_card import REPORT_HTML
from reel_shared.storage import storage

log = structlog.get_logger(__name__)
_CHUNK = 500


def unneeded(session: Session, keys: Iterable[str]) -> list[str]:
    """Return those of these files that no picture lies in, but such as were taken down."""
    left = sorted(set(keys))
    needed: set[str] = set()
    for start in range(0, len(left), _CHUNK):
        part = left[start : start + _CHUNK]
        query = sa.select(Image.key).where(Image.key.in_(part), Image.state != ImageState.REMOVED)
        needed.update(session.scalars(query))
    return [key for key in left if key not in needed]


def delete_unneeded(session: Session, keys: Iterable[str]) -> None:
    """Delete them when the transaction is committed: storage that is away is waited for, and a lock would wait too.

    What cannot be deleted by then is only logged, for the work is done.
    """
    found = unneeded(session, keys)
    if found:
        sa.event.listen(session, "after_commit", lambda _session: _delete(found), once=True)


def delete_folder(session: Session, prefix: str) -> None:
    """Delete what lies under a prefix that is one job's own, when the transaction is committed."""
    sa.event.listen(session, "after_commit", lambda _session: _delete_below(prefix), once=True)


def drop_report(session: Session, model: TrainedModel) -> None:
    """Delete a model's report once the transaction is committed: it shows pictures. Its figures stay."""
    left = dict(model.files)
    if (report := left.pop(REPORT_HTML, None)) is not None:
        model.files = left
        delete_unneeded(session, [report["key"]])


def _delete_below(prefix: str) -> None:
    try:
        keys = [found.key for found in storage().list(prefix)]
    except ReelError as error:
        log.error("files.left", prefix=prefix, reason=str(error))
        return
    _delete(keys)


def _delete(keys: list[str]) -> None:
    for done, key in enumerate(keys):
        try:
            storage().delete(key)
        except ReelError as error:
            log.error("files.left", keys=keys[done:][:100], count=len(keys) - done, reason=str(error))
            return
