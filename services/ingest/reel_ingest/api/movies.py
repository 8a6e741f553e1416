"""HTTP for films: they come in as jobs, and can be listed."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from reel_ingest.api.forms import submission_schema
from reel_ingest.views import (
    MovieView,
    movie_view,
)
from reel_shared.contracts import (
    EXTRACT_FRAMES,
    ExtractFramesRequest,
)
from reel_shared.db.engine import reading
from reel_shared.db.models import Movie
from reel_shared.errors import NotFound
from reel_shared.settings import settings
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.refusals import refuses
from reel_shared.web.requests import large_body
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView, Page
from reel_shared.web.uploads import read_submission, require_stored

router = Router(tags=["ingest"])


class NewMovie(ExtractFramesRequest, Submission):
    """The body of `POST /v1/movies`."""


@router.post("/v1/movies", status_code=202, response_model=JobView, openapi_extra=submission_schema(NewMovie))
@large_body(lambda: settings().limits.upload_bytes)
@refuses(NotFound)
async def create_movie(request: Request, principal: Submitter) -> Response:
    """Take frames out of a film: one sent as `file` in a form, or one that lies in storage under `key`."""
    body = await read_submission(request, principal, NewMovie, families=["film"])
    await require_stored(body.key)
    return await run_in_threadpool(submit_job, EXTRACT_FRAMES, body, principal, request)


@router.get("/v1/movies", response_model=Page[MovieView])
def list_movies(
    _principal: Reader,
    dataset: str | None = None,
    label: str | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """Films that gave frames, the newest first."""
    wanted = listing(cursor, limit, dataset=dataset, label=label)
    with reading() as session:
        query = sa.select(Movie).filter_by(**wanted.filters)
        return JSONResponse(wanted.page(session, query, Movie, movie_view))
