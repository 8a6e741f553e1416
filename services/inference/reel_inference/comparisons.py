"""The shadow's rows: which model shadows the active one, and what this replica adds to the counts; for ``serving``."""

from __future__ import annotations

import sqlalchemy as sa

from reel_inference.models import ModelRecord
from reel_inference.shadow import Plan, Tally
from reel_shared.contracts import SHADOW, StoredFile
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import ModelAlias, ShadowComparison, TrainedModel

MAX_PAIRS = 200
"""Kept apart in a comparison; what comes later is counted together. Classes squared would be too many."""


def find_plan() -> Plan | None:
    """Return the comparison that is on; None without a shadow."""
    with reading() as session:
        alias = session.get(ModelAlias, SHADOW)
        row = session.scalar(sa.select(ShadowComparison))
        if alias is None or alias.share is None or row is None:
            return None
        model = session.get_one(TrainedModel, row.shadow_id)
        files = {name: StoredFile.model_validate(facts) for name, facts in model.files.items()}
        return Plan(row.id, row.active_id, ModelRecord(model.id, files), alias.share)


def add(comparison_id: str, tally: Tally) -> None:
    """Add what a replica has counted; nothing when the comparison has ended. Raises DatabaseUnavailable."""
    with transaction() as session:
        row = session.get(ShadowComparison, comparison_id, with_for_update=True)
        if row is None:
            return
        row.asked += tally.asked
        row.agreed += tally.agreed
        row.confidence += tally.confidence
        row.dropped += tally.dropped
        row.failed += tally.failed
        known = {(active, shadow): count for active, shadow, count in row.pairs}
        for pair, count in tally.pairs.most_common():
            if pair in known or len(known) < MAX_PAIRS:
                known[pair] = known.get(pair, 0) + count
            else:
                row.other_pairs += count
        row.pairs = [[*pair, count] for pair, count in known.items()]
