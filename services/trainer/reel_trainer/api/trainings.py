"""HTTP for trainings: they run as jobs by a recipe."""

from __future__ import annotations

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from reel_shared.contracts import (
    TRAIN_MODEL,
    TrainModelRequest,
)
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.schemas import JobView, Page
from reel_trainer import catalogue
from reel_trainer.recipe import load_recipe, recipe_names
from reel_trainer.views import (
    RecipeView,
    recipe_view,
)

router = APIRouter()


class NewTraining(TrainModelRequest, Submission):
    """The body of `POST /v1/trainings`."""


@router.post("/v1/trainings", status_code=202, response_model=JobView, tags=["models"])
def create_training(body: NewTraining, principal: Submitter, request: Request) -> Response:
    """Train a model on a dataset version by a recipe."""
    load_recipe(body.recipe)

    def check(session: Session) -> None:
        version = catalogue.version(session, body.dataset_version_id)
        catalogue.trainable(version, allow_uncertified=body.allow_uncertified)

    return submit_job(TRAIN_MODEL, body, principal, request, check=check)


@router.get("/v1/recipes", response_model=Page[RecipeView], tags=["models"])
def list_recipes(_principal: Reader) -> Response:
    """The recipes that ship; `article` is the default."""
    found = [recipe_view(load_recipe(name)) for name in recipe_names()]
    return JSONResponse({"data": found, "next_cursor": None})
