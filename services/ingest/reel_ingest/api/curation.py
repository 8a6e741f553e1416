"""HTTP for what people decide about pictures: states and labels, the way back, conflicts, marks of subjects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from reel_ingest import decisions, marks
from reel_ingest.views import ChangeView, ImageView, change_view, image_view
from reel_shared.contracts.curation import (
    ChangeImagesRequest,
    ImageBatch,
    MarkImageRequest,
    MarkImagesRequest,
    ResolveConflictRequest,
)
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Image, ImageChange
from reel_shared.errors import Conflict, NotFound
from reel_shared.security import Principal
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.idempotency import once
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router

router = Router(tags=["curation"])


class History(BaseModel):
    data: list[ChangeView]
    next_cursor: None = None


class Marked(BaseModel):
    marked: int


@router.post("/v1/image-changes", response_model=ImageBatch)
@refuses(NotFound, Conflict)
def change_images(body: ChangeImagesRequest, principal: Submitter, request: Request) -> Response:
    """Set the state, the label or both of originals: up to 10,000 `image_ids`, or a `filter` (`dataset` and
    more) that finds at most 100,000; answers with a `batch_id`. Variants go along; a film's frames change their
    label only with `force`. 409 when the same bytes are active already."""
    content = body.model_dump(mode="json")
    return _acted(request, principal, content, lambda s: decisions.change(s, body, by=principal.id))


@router.post("/v1/image-changes/{batch_id}/undo", response_model=ImageBatch)
@refuses(Conflict)
def undo_image_changes(batch_id: str, principal: Submitter, request: Request) -> Response:
    """Put back what one action changed; pictures that were changed again since are left alone (`skipped`). It
    is an action too and can be undone."""
    return _acted(request, principal, {}, lambda s: decisions.undo(s, batch_id, by=principal.id))


@router.post("/v1/images/{image_id}/resolve", response_model=ImageBatch)
@refuses(Conflict)
def resolve_conflict(
    image_id: str, body: ResolveConflictRequest, principal: Submitter, request: Request
) -> Response:
    """Of pictures in `conflict`, keep this one (with another `label`, if that is right); the others become
    `duplicate` or `rejected`."""
    content = body.model_dump(mode="json")
    return _acted(
        request, principal, content, lambda s: decisions.resolve(s, image_id, body, by=principal.id)
    )


@router.get("/v1/images/{image_id}/changes", response_model=History)
def image_history(image_id: str, _principal: Reader) -> Response:
    """Every change of a picture's state, label or `duplicate_of`, the newest first, all on one page."""
    with reading() as session:
        _image(session, image_id)
        query = sa.select(ImageChange).filter_by(image_id=image_id).order_by(ImageChange.id.desc())
        rows = [change_view(row) for row in session.scalars(query)]
        return JSONResponse({"data": rows, "next_cursor": None})


@router.put("/v1/images/{image_id}/mark", response_model=ImageView)
def mark_image(image_id: str, body: MarkImageRequest, principal: Submitter) -> Response:
    """Say whether a frame's subject is worth keeping or it is background only. Changes no state."""
    with transaction() as session:
        image = _image(session, image_id)
        decisions.check_markable(session, [image_id])
        marks.write(session, [image_id], body.mark, by=principal.id)
        return JSONResponse(image_view(image))


@router.delete("/v1/images/{image_id}/mark", status_code=204)
def unmark_image(image_id: str, _principal: Submitter) -> None:
    """Take a picture's mark away. Repeating it changes nothing."""
    with transaction() as session:
        _image(session, image_id)
        marks.remove(session, [image_id])


@router.post("/v1/subject-marks", response_model=Marked)
@refuses(NotFound)
def mark_images(body: MarkImagesRequest, principal: Submitter, request: Request) -> Response:
    """Give up to 10,000 frames, `image_ids`, the same mark."""

    def act(session: Session) -> Marked:
        image_ids = decisions.check_markable(session, body.image_ids)
        marks.write(session, image_ids, body.mark, by=principal.id)
        return Marked(marked=len(image_ids))

    return _acted(request, principal, body.model_dump(mode="json"), act)


def _acted(
    request: Request, principal: Principal, content: dict[str, Any], act: Callable[[Session], BaseModel]
) -> Response:
    with transaction() as session:

        def answer() -> dict[str, Any]:
            return act(session).model_dump(mode="json")

        found = once(session, request, principal.id, content, answer, status=200)
    return JSONResponse(found.body, headers=found.headers)


def _image(session: Session, image_id: str) -> Image:
    image = session.get(Image, image_id)
    if image is None:
        raise NotFound(f"There is no image {image_id}.")
    return image
