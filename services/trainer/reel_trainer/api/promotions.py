"""HTTP for what serves: gates, promotion, roll-back, the candidate, and the history of it all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from reel_shared.contracts import AliasReason, GateReport, Model, PromoteRequest
from reel_shared.db.engine import reading, transaction
from reel_shared.db.lookups import find_model
from reel_shared.db.models import AliasChange, TrainedModel
from reel_shared.errors import Conflict, GatesFailed, NotFound
from reel_shared.security import Principal
from reel_shared.settings import Gates, settings
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.idempotency import once
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import Page
from reel_trainer import aliases, registry
from reel_trainer.api.models import ModelId
from reel_trainer.views import AliasChangeView, ModelView, change_view, model_view

router = Router(tags=["models"])
NO_REASON = AliasReason()
THROUGH_THE_GATES = PromoteRequest()


@router.get("/v1/gates", response_model=Gates)
def get_gates(_principal: Reader) -> Response:
    """What this deployment asks of a model before it serves: its settings `REEL_GATES__…`."""
    return JSONResponse(settings().gates.model_dump())


@router.get("/v1/models/{model_id}/gates", response_model=GateReport)
def get_model_gates(model_id: ModelId, _principal: Reader) -> Response:
    """Each gate's verdict on a model, against the one that is active now. Changes nothing."""
    with reading() as session:
        report = registry.gates_of(session, find_model(session, model_id))
    return JSONResponse(report.model_dump(mode="json"))


@router.post("/v1/models/{model_id}/promote", response_model=ModelView)
@refuses(GatesFailed)
def promote_model(
    model_id: ModelId, principal: Submitter, request: Request, body: PromoteRequest = THROUGH_THE_GATES
) -> Response:
    """Let this model serve from now on, if its gates pass; services follow within seconds.

    422 `gates-failed` names those that do not. `force` overrules them, with a `reason` that stays with the model.
    """
    return _moved(
        lambda session: registry.promote(session, model_id, body, by=principal.id),
        body,
        model_id,
        principal,
        request,
    )


@router.post("/v1/models/{model_id}/activate", response_model=ModelView)
@refuses(GatesFailed)
def activate_model(model_id: ModelId, principal: Submitter, request: Request) -> Response:
    """The same as `promote` without a body: through the gates. Doing it twice changes nothing."""
    return promote_model(model_id, principal, request)


@router.post("/v1/models/rollback", response_model=ModelView)
@refuses(Conflict, NotFound)
def roll_back(principal: Submitter, request: Request, body: AliasReason = NO_REASON) -> Response:
    """Let the model serve again that served before the active one; 409 when there is none, or it was taken down."""
    return _moved(
        lambda session: registry.roll_back(session, by=principal.id, reason=body.reason),
        body,
        "rollback",
        principal,
        request,
    )


@router.post("/v1/models/{model_id}/candidate", response_model=ModelView)
@refuses(Conflict)
def name_candidate(
    model_id: ModelId, principal: Submitter, request: Request, body: AliasReason = NO_REASON
) -> Response:
    """Say that this model is to serve next. `GET /v1/models/candidate` finds it, nothing else changes."""
    return _moved(
        lambda session: registry.name_candidate(session, model_id, by=principal.id, reason=body.reason),
        body,
        model_id,
        principal,
        request,
    )


@router.get("/v1/alias-changes", response_model=Page[AliasChangeView])
def list_alias_changes(
    _principal: Reader, alias: str | None = None, cursor: Cursor = None, limit: Limit = None
) -> Response:
    """Who pointed which alias from which model to which, when and why, the newest first."""
    wanted = listing(cursor, limit, alias=alias)
    query = sa.select(AliasChange).filter_by(**wanted.filters)
    with reading() as session:
        return JSONResponse(wanted.page(session, query, AliasChange, change_view))


def _moved(
    move: Callable[[Session], TrainedModel],
    body: Model,
    model: str,
    principal: Principal,
    request: Request,
) -> Response:
    """Move an alias in one transaction, once for an Idempotency-Key, and show the model that it names now."""
    with transaction() as session:

        def act() -> dict[str, Any]:
            row = move(session)
            return model_view(row, aliases=aliases.named(session))

        content = {"model": model, **body.model_dump(mode="json", exclude_defaults=True)}
        answer = once(session, request, principal.id, content, act, status=200)
    return JSONResponse(answer.body, headers=answer.headers)
