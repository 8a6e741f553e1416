"""Which model serves, which is to serve next and which did: aliases, gates, roll-back; called by ``tasks`` and ``api``.

Every change here is made under ``locks.registry_alone``: the gates judge against the model that is active when the
alias moves, and two promotions at once are one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import ACTIVE, CANDIDATE, SHADOW, GateReport, Metrics, PromoteRequest
from reel_shared.contracts.registry import AliasAction
from reel_shared.db import locks
from reel_shared.db.lookups import find_model
from reel_shared.db.models import AliasChange, ModelAlias, TrainedModel, utcnow
from reel_shared.errors import Conflict, GatesFailed
from reel_shared.settings import settings
from reel_shared.web.envelope import timestamp
from reel_trainer import aliases, shadows
from reel_trainer.gates import Standing, judge


def gates_of(session: Session, row: TrainedModel) -> GateReport:
    """Judge a model by this deployment's gates against the one that is active now."""
    active = session.get(ModelAlias, ACTIVE)
    other = session.get(TrainedModel, active.model_id) if active else None
    return judge(_standing(row), _standing(other) if other is not None else None, settings().gates)


def promote(session: Session, model: str, request: PromoteRequest, *, by: str) -> TrainedModel:
    """Let a model serve from now on. Raises NotFound, and GatesFailed unless its gates pass or that is overruled.

    One that is active already stays as it is.
    """
    locks.registry_alone(session)
    row = _locked(session, model)
    if aliases.named(session).get(ACTIVE) == row.id:
        return row
    report = gates_of(session, row)
    if report.failed and not request.force:
        raise GatesFailed(
            f"v{row.number} ({row.id}) stays out: {_reasons(report)}",
            gates=[gate.model_dump(mode="json") for gate in report.failed],
        )
    overruled = _names(report)
    if overruled:
        facts = {"reason": request.reason, "by": by, "at": timestamp(utcnow()), "gates": overruled}
        row.forced = facts
    _serve(session, row.id, "promote", by=by, reason=request.reason, overruled=overruled)
    return row


def offer(session: Session, model_id: str, *, by: str, reason: str) -> str | None:
    """Promote a model that a training has just made, or else name it the candidate and return why it does not serve."""
    locks.registry_alone(session)
    row = session.get_one(TrainedModel, model_id)
    report = gates_of(session, row)
    if report.passed:
        _serve(session, model_id, "promote", by=by, reason=reason)
        return None
    why = f"It does not serve: {_reasons(report)}"
    aliases.point(session, CANDIDATE, model_id, "name", by=by, reason=reason, overruled=_names(report))
    return why


def name_candidate(session: Session, model: str, *, by: str, reason: str = "") -> TrainedModel:
    """Say that a model is to serve next. Raises NotFound, and Conflict when it serves already."""
    locks.registry_alone(session)
    row, named = find_model(session, model), aliases.named(session)
    if named.get(ACTIVE) == row.id:
        raise Conflict(f"v{row.number} is active already; a candidate is a model that is to serve next.")
    if named.get(CANDIDATE) != row.id:
        aliases.point(session, CANDIDATE, row.id, "name", by=by, reason=reason)
    return row


def roll_back(session: Session, *, by: str, reason: str = "") -> TrainedModel:
    """Let the model serve that served before the active one. Raises Conflict where that cannot be.

    Doing it again goes one further back; a promotion starts a new way back.
    """
    locks.registry_alone(session)
    active = aliases.named(session).get(ACTIVE)
    former = _former(session, active)
    if active is None or former is None:
        raise Conflict(
            "No model has served before the active one, so there is none to return to; promote one."
        )
    row = _locked(session, former)
    if row.takedowns:
        raise Conflict(
            f"v{row.number} ({row.id}) served before, but pictures that it was trained or judged on were taken down "
            "since; promote another model."
        )
    _serve(session, row.id, "roll-back", by=by, reason=reason)
    return row


def _former(session: Session, active: str | None) -> str | None:
    """Return what served before the active model, by the whole history: a roll-back takes its promotion out."""
    changes = sa.select(AliasChange).filter_by(alias=ACTIVE).order_by(AliasChange.created_at, AliasChange.id)
    served: list[str] = []
    for change in session.scalars(changes):
        if change.from_model_id and served[-1:] != [change.from_model_id]:
            served.append(change.from_model_id)  # from before the history was kept
        if change.action == "roll-back":
            while served and served[-1] != change.to_model_id:
                served.pop()
        elif change.to_model_id:
            served.append(change.to_model_id)
    while served and served[-1] == active:
        served.pop()
    return served[-1] if served else None


def _serve(
    session: Session,
    model_id: str,
    action: AliasAction,
    *,
    by: str,
    reason: str,
    overruled: Sequence[str] = (),
) -> None:
    aliases.point(session, ACTIVE, model_id, action, by=by, reason=reason, overruled=overruled)
    for alias in (CANDIDATE, SHADOW):
        if aliases.named(session).get(alias) == model_id:
            aliases.point(session, alias, None, "remove", by=by, reason="it serves")
    shadows.follow(session)


def _locked(session: Session, model: str) -> TrainedModel:
    """Return a model whose take-downs cannot change before the alias has moved. Raises NotFound."""
    row = find_model(session, model)
    session.refresh(row, with_for_update=True)
    return row


def _standing(row: TrainedModel) -> Standing:
    card = row.card
    return Standing(
        id=row.id,
        dataset_version_id=row.dataset_version_id,
        metrics={name: Metrics.model_validate(facts) for name, facts in row.metrics.items()},
        held_out=card.get("held_out", False),
        certified=card.get("certified", True),
        certificate_sha256=card.get("certificate_sha256"),
        graph_difference=card.get("graph_difference"),
        takedowns=len(row.takedowns),
    )


def _reasons(report: GateReport) -> str:
    return " ".join(gate.says for gate in report.failed)


def _names(report: GateReport) -> list[str]:
    return [f"{gate.name}:{gate.part}" if gate.part else gate.name for gate in report.failed]
