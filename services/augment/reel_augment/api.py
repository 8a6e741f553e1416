"""Owns HTTP for variants: ``POST /v1/variants``.

Mounted by the embedded platform, or served alone through ``app``.
"""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import FastAPI, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest, Source
from reel_shared.db.models import Collection, DatasetVersion, Image
from reel_shared.errors import NotFound, Unprocessable
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Submitter
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView

router = Router(tags=["variants"])


class VariantsJob(MakeVariantsRequest, Submission):
    """The body of ``POST /v1/variants``."""


@router.post("/v1/variants", status_code=202, response_model=JobView)
@refuses(NotFound)
def create_variants(body: VariantsJob, request: Request, principal: Submitter) -> Response:
    """Submit a job that makes the six variants of a dataset's web pictures, where they are missing."""
    return submit_job(MAKE_VARIANTS, body, principal, request, check=lambda session: _check(session, body))


def _check(session: Session, body: VariantsJob) -> None:
    """Refuse what would end as a success with nothing done: a misspelled dataset, class or collection."""
    wanted: dict[str, str] = {"dataset": body.dataset, "source": Source.WEB}
    where = f"Dataset {body.dataset!r}"
    if body.collection_id is not None:
        collection = session.get(Collection, body.collection_id)
        if collection is None:
            raise NotFound(
                f"There is no web collection {body.collection_id}; GET /v1/web-collections lists them."
            )
        if collection.dataset != body.dataset:
            raise Unprocessable(
                f"Web collection {collection.id} is part of dataset {collection.dataset!r}, not of {body.dataset!r}."
            )
        wanted["collection_id"], where = collection.id, f"Web collection {collection.id}"
    if body.dataset_version_id is not None:
        version = session.get(DatasetVersion, body.dataset_version_id)
        if version is None:
            raise NotFound(
                f"There is no dataset version {body.dataset_version_id}; GET /v1/dataset-versions lists them."
            )
        if version.dataset != body.dataset:
            raise Unprocessable(
                f"Dataset version {version.id} is of the dataset {version.dataset!r}, not of {body.dataset!r}."
            )
        return
    if body.label is not None:
        wanted["label"] = body.label
    if session.scalar(sa.select(Image.id).filter_by(**wanted).limit(1)) is None:
        of_class = f" of the class {body.label!r}" if body.label is not None else ""
        raise Unprocessable(
            f"{where} has no web pictures{of_class}; collect some with POST /v1/web-collections."
        )


def app() -> FastAPI:
    """The service alone."""
    return create_app("Reelsight augment", [router])
