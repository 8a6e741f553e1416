"""HTTP for what is measured before a training: doubtful labels, what a leaky split would pretend, good rates."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.contracts import (
    CHECK_LABELS,
    FIND_LEARNING_RATE,
    MEASURE_LEAK_GAP,
    CheckLabelsRequest,
    FindLearningRateRequest,
    MeasureLeakGapRequest,
)
from reel_shared.db.lookups import find_model
from reel_shared.db.models import Image
from reel_shared.errors import NoModel, NotFound, Unprocessable
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Submitter
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView
from reel_trainer import catalogue
from reel_trainer.recipe import PUBLIC_WEIGHTS, batch_of, find_stage, load_recipe

router = Router(tags=["checks"])


class NewLabelCheck(CheckLabelsRequest, Submission):
    """The body of `POST /v1/label-checks`."""


class NewLeakGap(MeasureLeakGapRequest, Submission):
    """The body of `POST /v1/leak-gaps`."""


class NewLearningRate(FindLearningRateRequest, Submission):
    """The body of `POST /v1/learning-rates`."""


@router.post("/v1/label-checks", status_code=202, response_model=JobView)
@refuses(NotFound, NoModel)
def create_label_check(body: NewLabelCheck, principal: Submitter, request: Request) -> Response:
    """Propose pictures that are probably filed under a wrong label, each judged by what never saw it."""

    def check(session: Session) -> None:
        catalogue.whole_version(session, body.dataset_version_id)
        find_model(session, body.model)

    return submit_job(CHECK_LABELS, body, principal, request, check=check)


@router.post("/v1/leak-gaps", status_code=202, response_model=JobView)
@refuses(NotFound)
def create_leak_gap(body: NewLeakGap, principal: Submitter, request: Request) -> Response:
    """Measure how much better a model looks when neighbours lie on both sides: two short trainings."""
    recipe = load_recipe(body.recipe)
    if recipe.weights not in PUBLIC_WEIGHTS or recipe.train_on_validation:
        raise Unprocessable(
            f"The recipe {recipe.name} does not fit: it needs public weights and held-out pictures."
        )

    def check(session: Session) -> None:
        found = sa.select(Image.id).where(Image.dataset == body.dataset, Image.source.in_(body.train_sources))
        if session.scalar(found.limit(1)) is None:
            raise Unprocessable(f"Dataset {body.dataset!r} has no such pictures yet; ingest films first.")

    return submit_job(MEASURE_LEAK_GAP, body, principal, request, check=check)


@router.post("/v1/learning-rates", status_code=202, response_model=JobView)
@refuses(NotFound)
def create_learning_rate(body: NewLearningRate, principal: Submitter, request: Request) -> Response:
    """Find a stage's learning rate: a few steps at rising rates, whose losses suggest one. Keeps no weights."""
    recipe = load_recipe(body.recipe)
    batch_of(recipe.stages[find_stage(recipe, body.stage)])
    return submit_job(
        FIND_LEARNING_RATE,
        body,
        principal,
        request,
        check=lambda session: catalogue.whole_version(session, body.dataset_version_id),
    )
