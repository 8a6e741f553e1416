"""HTTP for models: list, look, activate."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse, Response

from reel_shared.db.engine import reading, transaction
from reel_shared.db.lookups import find_model
from reel_shared.db.models import TrainedModel
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.idempotency import once
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.schemas import Page
from reel_trainer import catalogue
from reel_trainer.views import (
    ModelView,
    model_view,
)

ModelId = Annotated[str, Path(description="an id, or `active`", examples=["active"])]
router = APIRouter()


@router.get("/v1/models", response_model=Page[ModelView], tags=["models"])
def list_models(
    _principal: Reader,
    dataset_version_id: str | None = None,
    recipe: str | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """Trained models, the newest first."""
    wanted = listing(cursor, limit, dataset_version_id=dataset_version_id, recipe=recipe)
    with reading() as session:
        active = catalogue.active_id(session)
        query = sa.select(TrainedModel).filter_by(**wanted.filters)
        return JSONResponse(
            wanted.page(session, query, TrainedModel, lambda row: model_view(row, active=active))
        )


@router.get("/v1/models/{model_id}", response_model=ModelView, tags=["models"])
def get_model(model_id: ModelId, _principal: Reader) -> Response:
    """One model, by its id or as `active`."""
    with reading() as session:
        row = find_model(session, model_id)
        return JSONResponse(model_view(row, active=catalogue.active_id(session)))


@router.post("/v1/models/{model_id}/activate", response_model=ModelView, tags=["models"])
def activate_model(model_id: str, principal: Submitter, request: Request) -> Response:
    """Let this model serve from now on; services follow within seconds. Doing it twice changes nothing."""
    with transaction() as session:

        def act() -> dict[str, Any]:
            row = find_model(session, model_id)
            catalogue.activate(session, row.id)
            return model_view(row, active=row.id)

        answer = once(session, request, principal.id, {"model": model_id}, act, status=200)
    return JSONResponse(answer.body, headers=answer.headers)
