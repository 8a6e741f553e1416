"""HTTP for trainings: they run as jobs by a recipe."""

from __future__ import annotations

from typing import Literal

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from reel_shared import jobs
from reel_shared.contracts import (
    TRAIN_MODEL,
    Model,
    TrainingCheckpoint,
    TrainModelRequest,
)
from reel_shared.db.engine import reading, transaction
from reel_shared.errors import Conflict, NoModel, NotFound
from reel_shared.security import Principal
from reel_shared.web.accepted import Submission, accepted, submit_job
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.envelope import envelope
from reel_shared.web.quotas import counts_as
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView, Page
from reel_trainer import catalogue, extending
from reel_trainer.recipe import load_recipe, recipe_names
from reel_trainer.views import (
    RecipeView,
    TrainingMetricsView,
    recipe_view,
    training_metrics_view,
)

router = Router()


class NewTraining(TrainModelRequest, Submission):
    """The body of `POST /v1/trainings`."""


@router.post("/v1/trainings", status_code=202, response_model=JobView, tags=["models"])
@refuses(NotFound, Conflict, NoModel)
def create_training(body: NewTraining, principal: Submitter, request: Request) -> Response:
    """Train a model on a dataset version by a recipe that ships or one that is sent. A version that is not
    certified is refused unless `allow_uncertified`, one with pictures that were taken down always."""
    return _submit(body, principal, request)


def _submit(body: NewTraining, principal: Principal, request: Request) -> Response:
    recipe = load_recipe(body.recipe)

    def check(session: Session) -> None:
        if body.resume_from is not None:
            catalogue.resumable(session, body.resume_from)
        version = catalogue.version(session, body.dataset_version_id)
        catalogue.trainable(version, allow_uncertified=body.allow_uncertified)
        extending.origin(session, body, recipe)

    return submit_job(TRAIN_MODEL, body, principal, request, check=check)


class StopTraining(Model):
    """The body of `POST /v1/trainings/{job_id}/stop`."""

    when: Literal["now", "epoch"] = "epoch"
    """now: what the epoch under way has learnt is lost; epoch: when it has ended, and its checkpoint is kept."""


@router.post("/v1/trainings/{job_id}/stop", status_code=202, response_model=JobView, tags=["models"])
@counts_as("writes")
@refuses(Conflict)
def stop_training(job_id: str, body: StopTraining, _principal: Submitter, request: Request) -> Response:
    """Stop a training now or after the epoch; it ends as canceled and can be resumed from its last checkpoint."""
    with transaction() as session:
        job = catalogue.training(session, job_id)
        if job.state in jobs.TERMINAL:
            raise Conflict(f"The training has {job.state} already.", state=job.state)
        if body.when == "epoch" and job.state == jobs.State.RUNNING:
            catalogue.wish_stop(session, job_id)
        else:
            job = jobs.cancel(session, job_id)
        found = envelope(job)
    return accepted(found, request)


class ResumeTraining(Submission):
    """The body of `POST /v1/trainings/{job_id}/resume`."""


@router.post("/v1/trainings/{job_id}/resume", status_code=202, response_model=JobView, tags=["models"])
@refuses(Conflict)
def resume_training(job_id: str, body: ResumeTraining, principal: Submitter, request: Request) -> Response:
    """Go on with a failed or canceled training from its last checkpoint, as a new job with the same request."""
    with reading() as session:
        old = dict(catalogue.training(session, job_id).request)
    again = NewTraining.model_validate({**old, "resume_from": job_id, "metadata": body.metadata})
    return _submit(again, principal, request)


class ExtendTraining(Submission):
    """The body of `POST /v1/trainings/{job_id}/extend`; what is not said is as in the training that is extended."""

    recipe: str | None = None
    dataset_version_id: str | None = None
    seed: int | None = None
    activate: bool = False
    allow_uncertified: bool | None = None


@router.post("/v1/trainings/{job_id}/extend", status_code=202, response_model=JobView, tags=["models"])
@refuses(Conflict)
def extend_training(job_id: str, body: ExtendTraining, principal: Submitter, request: Request) -> Response:
    """Trains a finished training's model further, body and head, as a new job that makes a new model: by its
    `recipe`, `dataset_version_id` and `seed` unless others are named, with `activate` and `allow_uncertified`.
    Other classes or another architecture are refused."""
    with reading() as session:
        old = dict(catalogue.training(session, job_id).request)
        model_id = extending.finished(session, job_id).id
    wishes = body.model_dump(exclude_none=True)
    return _submit(
        NewTraining.model_validate(
            {**old, **wishes, "weights": f"{extending.PREFIX}{model_id}", "resume_from": None}
        ),
        principal,
        request,
    )


@router.get("/v1/trainings/{job_id}/checkpoint", response_model=TrainingCheckpoint, tags=["models"])
def get_training_checkpoint(job_id: str, _principal: Reader) -> Response:
    """Where a training that has not succeeded would go on."""
    with reading() as session:
        catalogue.training(session, job_id)
        found = catalogue.last_checkpoint(session, job_id)
    if found is None:
        raise NotFound(f"Training {job_id} has no checkpoint: it is in its first epoch, or has succeeded.")
    return JSONResponse(found.model_dump(mode="json"))


@router.get("/v1/trainings/{job_id}/metrics", response_model=TrainingMetricsView, tags=["models"])
def get_training_metrics(job_id: str, _principal: Reader) -> Response:
    """What a training has told, while it runs and ever after: by stage `points` (loss and rates by batch, at
    most 300) and `epochs`; `now`: speed, time left, memory."""
    with reading() as session:
        job = catalogue.training(session, job_id)
        return JSONResponse(training_metrics_view(job, catalogue.training_metrics(session, job_id)))


@router.get("/v1/recipes", response_model=Page[RecipeView], tags=["models"])
def list_recipes(_principal: Reader) -> Response:
    """The recipes that ship; `article` is the default."""
    found = [recipe_view(load_recipe(name)) for name in recipe_names()]
    return JSONResponse({"data": found, "next_cursor": None})
