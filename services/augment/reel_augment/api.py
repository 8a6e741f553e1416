"""Owns HTTP for variants: ``POST /v1/variants``.

Mounted by the embedded platform, or served alone through ``app``.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest
from reel_shared.db.models import Collection
from reel_shared.errors import NotFound
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Submitter
from reel_shared.web.schemas import JobView

router = APIRouter(tags=["variants"])


class VariantsJob(MakeVariantsRequest, Submission):
    """The body of ``POST /v1/variants``."""


@router.post("/v1/variants", status_code=202, response_model=JobView)
def create_variants(body: VariantsJob, request: Request, principal: Submitter) -> Response:
    """Submit a job that makes the six variants of a dataset's web pictures, where they are missing."""

    def check(session: Session) -> None:
        if body.collection_id and session.get(Collection, body.collection_id) is None:
            raise NotFound(f"There is no web collection {body.collection_id}.")

    return submit_job(MAKE_VARIANTS, body, principal, request, check=check)


def app() -> FastAPI:
    """The service alone."""
    return create_app("Reelsight augment", [router])
