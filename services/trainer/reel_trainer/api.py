"""HTTP for the trainer: dataset versions and trainings as jobs, the models they made, the recipes there are.

Mounted by the embedded platform, or served alone through ``app``.
"""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Path, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    TRAIN_MODEL,
    BuildDatasetVersionRequest,
    TrainModelRequest,
)
from reel_shared.db.engine import reading, transaction
from reel_shared.db.lookups import find_model
from reel_shared.db.models import DatasetVersion, Image, TrainedModel
from reel_shared.errors import Unprocessable
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.idempotency import once
from reel_shared.web.pagination import listing
from reel_shared.web.schemas import JobView, Page
from reel_trainer import catalogue
from reel_trainer.recipe import load_recipe, recipe_names
from reel_trainer.views import (
    DatasetVersionView,
    ModelView,
    RecipeView,
    model_view,
    recipe_view,
    version_view,
)

router = APIRouter()
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
Limit = Annotated[int | None, Query(description="rows wanted, 50 unless said; coerced to what is allowed")]
ModelId = Annotated[str, Path(description="an id, or `active`", examples=["active"])]


class NewDatasetVersion(BuildDatasetVersionRequest, Submission):
    """The body of `POST /v1/dataset-versions`."""


class NewTraining(TrainModelRequest, Submission):
    """The body of `POST /v1/trainings`."""


@router.post("/v1/dataset-versions", status_code=202, response_model=JobView, tags=["dataset versions"])
def create_dataset_version(body: NewDatasetVersion, principal: Submitter, request: Request) -> Response:
    """Split a dataset as it stands into train and validation, whole scenes and lineages on one side."""

    def check(session: Session) -> None:
        query = sa.select(Image.id).where(Image.dataset == body.dataset).limit(1)
        if session.scalar(query) is None:
            raise Unprocessable(
                f"Dataset {body.dataset!r} has no pictures yet; ingest films or web pictures first."
            )

    return submit_job(BUILD_DATASET_VERSION, body, principal, request, check=check)


@router.get("/v1/dataset-versions", response_model=Page[DatasetVersionView], tags=["dataset versions"])
def list_dataset_versions(
    _principal: Reader, dataset: str | None = None, cursor: Cursor = None, limit: Limit = None
) -> Response:
    """Dataset versions, the newest first."""
    wanted = listing(cursor, limit, dataset=dataset)
    with reading() as session:
        query = sa.select(DatasetVersion).filter_by(**wanted.filters)
        return JSONResponse(wanted.page(session, query, DatasetVersion, version_view))


@router.get("/v1/dataset-versions/{version_id}", response_model=DatasetVersionView, tags=["dataset versions"])
def get_dataset_version(version_id: str, _principal: Reader) -> Response:
    """One dataset version: its counts, its certificate and a link to its manifest."""
    with reading() as session:
        return JSONResponse(version_view(catalogue.version(session, version_id)))


@router.post("/v1/trainings", status_code=202, response_model=JobView, tags=["models"])
def create_training(body: NewTraining, principal: Submitter, request: Request) -> Response:
    """Train a model on a dataset version by a recipe."""
    load_recipe(body.recipe)

    def check(session: Session) -> None:
        version = catalogue.version(session, body.dataset_version_id)
        if not version.certificate["certified"]:
            raise Unprocessable(
                f"Dataset version {version.id} leaks between train and validation; build a new one."
            )

    return submit_job(TRAIN_MODEL, body, principal, request, check=check)


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


@router.get("/v1/recipes", response_model=Page[RecipeView], tags=["models"])
def list_recipes(_principal: Reader) -> Response:
    """The recipes that ship; `article` is the default."""
    found = [recipe_view(load_recipe(name)) for name in recipe_names()]
    return JSONResponse({"data": found, "next_cursor": None})


def app() -> FastAPI:
    """Return the service's own application; uvicorn calls it as a factory."""
    return create_app("Reelsight trainer", [router])
