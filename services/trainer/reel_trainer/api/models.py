"""HTTP for models: list, look, tag and note."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Path, Query, Request
from starlette.responses import JSONResponse, Response

from reel_shared.contracts import RemarkRequest, TagsRequest
from reel_shared.contracts.registry import Tag
from reel_shared.db.engine import reading, transaction
from reel_shared.db.lookups import find_model
from reel_shared.db.models import TrainedModel, utcnow
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.envelope import timestamp
from reel_shared.web.idempotency import once
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.routing import Router
from reel_shared.web.schemas import Page
from reel_trainer import aliases
from reel_trainer.views import ModelView, model_view

ModelId = Annotated[
    str,
    Path(description="an id, a number such as `v7`, `active`, `candidate` or `shadow`", examples=["active"]),
]
router = Router(tags=["models"])


@router.get("/v1/models", response_model=Page[ModelView])
def list_models(
    _principal: Reader,
    dataset_version_id: str | None = None,
    recipe: str | None = None,
    tag: Annotated[Tag | None, Query(description="only models with this tag")] = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """Trained models, the newest first."""
    wanted = listing(cursor, limit, dataset_version_id=dataset_version_id, recipe=recipe, tag=tag)
    columns = {name: value for name, value in wanted.filters.items() if name != "tag"}
    query = sa.select(TrainedModel).filter_by(**columns)
    if "tag" in wanted.filters:
        # Tags are plain words, so that one between quotes is found in the list's text on either database.
        tags = sa.cast(TrainedModel.tags, sa.String)
        query = query.where(tags.contains(f'"{wanted.filters["tag"]}"', autoescape=True))
    with reading() as session:
        named = aliases.named(session)
        page = wanted.page(session, query, TrainedModel, lambda row: model_view(row, aliases=named))
        return JSONResponse(page)


@router.get("/v1/models/{model_id}", response_model=ModelView)
def get_model(model_id: ModelId, _principal: Reader) -> Response:
    """One model, by its id, its number (`v7`), as `active`, `candidate` or `shadow`: lineage, metrics, tags,
    remarks."""
    with reading() as session:
        row = find_model(session, model_id)
        return JSONResponse(model_view(row, aliases=aliases.named(session)))


@router.put("/v1/models/{model_id}/tags", response_model=ModelView)
def put_tags(model_id: ModelId, body: TagsRequest, _principal: Submitter) -> Response:
    """Give a model these tags and no others."""
    with transaction() as session:
        row = find_model(session, model_id)
        row.tags = list(dict.fromkeys(body.tags))
        return JSONResponse(model_view(row, aliases=aliases.named(session)))


@router.post("/v1/models/{model_id}/remarks", response_model=ModelView)
def add_remark(model_id: ModelId, body: RemarkRequest, principal: Submitter, request: Request) -> Response:
    """Note something about a model, for other people; remarks stay."""
    with transaction() as session:

        def act() -> dict[str, Any]:
            row = find_model(session, model_id)
            session.refresh(row, with_for_update=True)
            row.remarks = [*row.remarks, {"text": body.text, "by": principal.id, "at": timestamp(utcnow())}]
            return model_view(row, aliases=aliases.named(session))

        content = {"model": model_id, "text": body.text}
        answer = once(session, request, principal.id, content, act, status=200)
    return JSONResponse(answer.body, headers=answer.headers)
