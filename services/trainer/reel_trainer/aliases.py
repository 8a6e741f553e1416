"""The names that point at models, and the history of each move; called by ``registry`` and ``shadows``.

Only under ``locks.registry_alone``.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts.registry import AliasAction
from reel_shared.db.models import AliasChange, ModelAlias, utcnow
from reel_shared.ids import new_id


def named(session: Session) -> dict[str, str]:
    """Return which model each alias names."""
    return {row.name: row.model_id for row in session.scalars(sa.select(ModelAlias))}


def point(
    session: Session,
    alias: str,
    model_id: str | None,
    action: AliasAction,
    *,
    by: str,
    reason: str,
    overruled: Sequence[str] = (),
) -> None:
    """Move an alias, or take it away, and write it into the history."""
    before = session.get(ModelAlias, alias)
    session.add(
        AliasChange(
            id=new_id("alc"),
            alias=alias,
            action=action,
            from_model_id=before.model_id if before else None,
            to_model_id=model_id,
            by=by,
            reason=reason,
            failed_gates=list(overruled),
        )
    )
    if model_id is not None:
        session.merge(ModelAlias(name=alias, model_id=model_id, updated_at=utcnow()))
    elif before is not None:
        session.delete(before)
    session.flush()
