"""HTTP for ingest: films and web collections come in as jobs, and what they brought can be listed.

Mounted by the embedded platform, or served alone through `app`.
"""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from reel_ingest.views import (
    CollectionView,
    ImageView,
    MovieView,
    collection_view,
    image_view,
    movie_view,
)
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXTRACT_FRAMES,
    CollectPicturesRequest,
    ExtractFramesRequest,
    Source,
    Variant,
)
from reel_shared.db.engine import reading
from reel_shared.db.models import Collection, Image, Movie
from reel_shared.errors import NotFound
from reel_shared.settings import settings
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.pagination import listing
from reel_shared.web.requests import large_body
from reel_shared.web.schemas import JobView, Page
from reel_shared.web.uploads import read_submission, require_stored

router = APIRouter(tags=["ingest"])
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
Limit = Annotated[int | None, Query(description="rows wanted, 50 unless said; coerced to what is allowed")]


class NewMovie(ExtractFramesRequest, Submission):
    """The body of `POST /v1/movies`."""


class NewCollection(CollectPicturesRequest, Submission):
    """The body of `POST /v1/web-collections`."""


def _body(model: type[NewMovie] | type[NewCollection]) -> dict[str, Any]:
    """Describe a body that is JSON, or a form with a file instead of its key."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    fields = {name: field for name, field in schema["properties"].items() if name != "key"}
    form = {
        "type": "object",
        "required": ["file", "label"],
        "properties": {"file": {"type": "string", "format": "binary"}, **fields},
    }
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


@router.post("/v1/movies", status_code=202, response_model=JobView, openapi_extra=_body(NewMovie))
@large_body(lambda: settings().limits.upload_bytes)
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


@router.post(
    "/v1/web-collections", status_code=202, response_model=JobView, openapi_extra=_body(NewCollection)
)
@large_body(lambda: settings().limits.archive_bytes)
async def create_collection(request: Request, principal: Submitter) -> Response:
    """Collect pictures of a class: from a search, a list of addresses, a folder in storage, or a zip file.

    The zip comes as `file` in a form, or lies in storage under `key`.
    """
    body = await read_submission(request, principal, NewCollection, families=["archive"])
    if body.key is not None:
        await require_stored(body.key)
    return await run_in_threadpool(submit_job, COLLECT_PICTURES, body, principal, request)


@router.get("/v1/web-collections", response_model=Page[CollectionView])
def list_collections(
    _principal: Reader,
    dataset: str | None = None,
    label: str | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """What was collected from the web, the newest first."""
    wanted = listing(cursor, limit, dataset=dataset, label=label)
    with reading() as session:
        query = sa.select(Collection).filter_by(**wanted.filters)
        return JSONResponse(wanted.page(session, query, Collection, collection_view))


@router.get("/v1/images", response_model=Page[ImageView])
def list_images(
    _principal: Reader,
    dataset: str | None = None,
    label: str | None = None,
    source: Source | None = None,
    variant: Variant | None = None,
    style: str | None = None,
    movie_id: str | None = None,
    collection_id: str | None = None,
    parent_id: str | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """Pictures with where they come from and a link to each, the newest first."""
    wanted = listing(
        cursor,
        limit,
        dataset=dataset,
        label=label,
        source=source,
        variant=variant,
        style=style,
        movie_id=movie_id,
        collection_id=collection_id,
        parent_id=parent_id,
    )
    with reading() as session:
        query = sa.select(Image).filter_by(**wanted.filters)
        return JSONResponse(wanted.page(session, query, Image, image_view))


@router.get("/v1/images/{image_id}", response_model=ImageView)
def get_image(image_id: str, _principal: Reader) -> Response:
    """One picture."""
    with reading() as session:
        image = session.get(Image, image_id)
        if image is None:
            raise NotFound(f"There is no image {image_id}.")
        return JSONResponse(image_view(image))


def app() -> FastAPI:
    """The service alone."""
    return create_app("Reelsight ingest", [router])
