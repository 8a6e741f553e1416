"""HTTP for the pictures themselves."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.responses import JSONResponse, Response

from reel_ingest.views import (
    ImageView,
    image_view,
)
from reel_shared.contracts import (
    ImageState,
    Source,
    Variant,
)
from reel_shared.contracts.curation import Mark
from reel_shared.db.engine import reading
from reel_shared.db.models import Image, SubjectMark
from reel_shared.errors import NotFound
from reel_shared.web.auth import Reader
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.routing import Router
from reel_shared.web.schemas import Page

router = Router(tags=["ingest"])


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
    state: ImageState | None = None,
    state_reason: str | None = None,
    duplicate_of: str | None = None,
    probe: str | None = None,
    mark: Mark | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """Pictures in whatever state, with where they come from and a link to each, the newest first."""
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
        state=state,
        state_reason=state_reason,
        duplicate_of=duplicate_of,
        probe=probe,
        mark=mark,
    )
    columns = dict(wanted.filters)
    marked = columns.pop("mark", None)
    with reading() as session:
        query = sa.select(Image).filter_by(**columns)
        if marked is not None:
            query = query.where(Image.id.in_(sa.select(SubjectMark.image_id).filter_by(mark=marked)))
        return JSONResponse(wanted.page(session, query, Image, image_view))


@router.get("/v1/images/{image_id}", response_model=ImageView)
def get_image(image_id: str, _principal: Reader) -> Response:
    """One picture."""
    with reading() as session:
        image = session.get(Image, image_id)
        if image is None:
            raise NotFound(f"There is no image {image_id}.")
        return JSONResponse(image_view(image))
