"""HTTP for take-downs: at once a picture takes part no longer; its files go in a job."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import Request
from starlette.responses import JSONResponse, Response

from reel_ingest import takedowns
from reel_ingest.views import TakedownView, takedown_view
from reel_shared.contracts import TAKE_DOWN_PICTURES, TakeDownPicturesRequest
from reel_shared.db.engine import reading
from reel_shared.db.models import Takedown
from reel_shared.errors import NotFound
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Admin
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView, Page

router = Router(tags=["curation"])


class NewTakedown(TakeDownPicturesRequest, Submission):
    """The body of `POST /v1/takedowns`."""


@router.post("/v1/takedowns", status_code=202, response_model=JobView)
@refuses(NotFound)
def create_takedown(body: NewTakedown, principal: Admin, request: Request) -> Response:
    """Remove pictures for good. At once they and their variants are `removed`, then their files go. Asking
    again finishes what did not."""
    return submit_job(
        TAKE_DOWN_PICTURES,
        body,
        principal,
        request,
        also=lambda session: takedowns.remove(session, body, by=principal.id),
    )


@router.get("/v1/takedowns", response_model=Page[TakedownView])
def list_takedowns(_principal: Admin, cursor: Cursor = None, limit: Limit = None) -> Response:
    """What was taken down, the newest first. Without `finished_at`, its files may still be there."""
    with reading() as session:
        wanted = listing(cursor, limit)
        return JSONResponse(wanted.page(session, sa.select(Takedown), Takedown, takedown_view))
