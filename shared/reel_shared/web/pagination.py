"""Lists, newest first: keyset cursors over ``(created_at, id)`` that carry their filters along."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

import sqlalchemy as sa
from fastapi import Query
from sqlalchemy.orm import Session

from reel_shared.errors import BadRequest
from reel_shared.settings import settings

RowT = TypeVar("RowT")
DEFAULT_LIMIT = 50

Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
Limit = Annotated[int | None, Query(description="rows wanted, 50 unless said; coerced to what is allowed")]


@dataclass(frozen=True, slots=True)
class Listing:
    """One request for a page: the filters in force, how many rows, and after which one to go on."""

    filters: dict[str, str]
    limit: int
    after: tuple[datetime, str] | None

    def page(
        self,
        session: Session,
        query: sa.Select[RowT],
        row: type[Any],
        show: Callable[[RowT], Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Return ``{data, next_cursor}`` of ``query``, ordered by ``row.created_at`` and ``row.id``."""
        query = query.order_by(row.created_at.desc(), row.id.desc()).limit(self.limit + 1)
        if self.after is not None:
            created_at, row_id = self.after
            last = sa.tuple_(sa.literal(created_at, row.created_at.type), sa.literal(row_id))
            query = query.where(sa.tuple_(row.created_at, row.id) < last)
        found: list[Any] = list(session.scalars(query))
        rows = found[: self.limit]
        more = len(found) > self.limit
        return {
            "data": [show(item) for item in rows],
            "next_cursor": self._cursor(rows[-1]) if more else None,
        }

    def _cursor(self, last: Any) -> str:
        content = json.dumps([last.created_at.isoformat(), last.id, self.filters], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def listing(cursor: str | None, limit: int | None, **filters: str | None) -> Listing:
    """Read a page request. The limit is coerced into what is allowed; a cursor brings its own filters.

    Raises:
        BadRequest: not a cursor of ours, or filters that differ from the cursor's.
    """
    size = max(1, min(limit if limit is not None else DEFAULT_LIMIT, settings().limits.page_size))
    given = {name: value for name, value in filters.items() if value is not None}
    if not cursor:
        return Listing(given, size, None)
    after, bound = _read(cursor)
    if not set(bound) <= set(filters) or any(bound.get(name) != value for name, value in given.items()):
        raise BadRequest("The cursor belongs to a list with other filters; start again without it.")
    return Listing(bound, size, after)


def _read(cursor: str) -> tuple[tuple[datetime, str], dict[str, str]]:
    try:
        content = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        created_at, row_id, filters = content
        moment = datetime.fromisoformat(created_at)
        texts = [row_id, *filters, *filters.values()]
        if moment.tzinfo is None or not all(isinstance(text, str) for text in texts):
            raise ValueError
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequest("The cursor cannot be read; start again without it.") from error
    return (moment, row_id), filters
