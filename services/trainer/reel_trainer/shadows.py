"""The shadow's alias and its comparison with the active model; called by ``api`` and ``registry``.

The inference replicas add to the one comparison there is. A new pair of models begins a new one, so what a replica has
counted of the pair before is added to nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import ACTIVE, SHADOW, Disagreement, ShadowReport
from reel_shared.db import locks
from reel_shared.db.lookups import find_model
from reel_shared.db.models import ModelAlias, ShadowComparison, TrainedModel
from reel_shared.errors import Conflict, NotFound
from reel_shared.ids import new_id
from reel_trainer import aliases

NO_SHADOW = "No model shadows the active one; start with POST /v1/models/{model_id}/shadow."


def start(session: Session, model: str, share: float, *, by: str) -> ShadowReport:
    """Let a model shadow the active one. Raises NotFound, and Conflict without another model that is active."""
    locks.registry_alone(session)
    row, named = find_model(session, model), aliases.named(session)
    if ACTIVE not in named:
        raise Conflict("No model is active, so there is nothing to compare a shadow with; promote one first.")
    if named[ACTIVE] == row.id:
        raise Conflict(f"v{row.number} is active itself; a shadow is another model.")
    if named.get(SHADOW) != row.id:
        aliases.point(session, SHADOW, row.id, "name", by=by, reason=f"for {share:.0%} of the answers")
    session.get_one(ModelAlias, SHADOW).share = share
    session.flush()
    follow(session)
    return report(session)


def stop(session: Session, model: str, *, by: str) -> None:
    """Raises NotFound, and Conflict when the model is not the shadow."""
    locks.registry_alone(session)
    row = find_model(session, model)
    if aliases.named(session).get(SHADOW) != row.id:
        raise Conflict(f"v{row.number} is not the shadow. {NO_SHADOW}")
    aliases.point(session, SHADOW, None, "remove", by=by, reason="")
    follow(session)


def follow(session: Session) -> None:
    """Begin counting anew when the active model or its shadow is another one than was compared."""
    named = aliases.named(session)
    pair = (named.get(ACTIVE), named.get(SHADOW))
    row = session.scalar(sa.select(ShadowComparison))
    if row is not None and (row.active_id, row.shadow_id) != pair:
        session.delete(row)
        session.flush()
        row = None
    if row is None and pair[0] is not None and pair[1] is not None:
        session.add(ShadowComparison(id=new_id("shc"), active_id=pair[0], shadow_id=pair[1]))
        session.flush()


def report(session: Session) -> ShadowReport:
    """Raises NotFound without a shadow."""
    alias = session.get(ModelAlias, SHADOW)
    row = session.scalar(sa.select(ShadowComparison))
    if alias is None or row is None:
        raise NotFound(NO_SHADOW)
    pairs = sorted(row.pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))
    return ShadowReport(
        model_id=row.shadow_id,
        number=session.get_one(TrainedModel, row.shadow_id).number,
        against=row.active_id,
        share=alias.share or 0.0,
        since=row.created_at,
        asked=row.asked,
        agreed=row.agreed,
        agreement=row.agreed / row.asked if row.asked else None,
        confidence_difference=row.confidence / row.asked if row.asked else None,
        dropped=row.dropped,
        failed=row.failed,
        disagreements=[Disagreement(active=a, shadow=s, count=count) for a, s, count in pairs],
        other_disagreements=row.other_pairs,
    )
