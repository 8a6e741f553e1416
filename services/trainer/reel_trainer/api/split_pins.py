"""HTTP for pins: scenes, stretches of films and pictures that a person puts on a side of the split by hand."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from reel_shared.contracts import Variant
from reel_shared.contracts.versions import SplitPinRequest
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Image, Movie, SplitPin
from reel_shared.errors import NotFound, Unprocessable
from reel_shared.ids import new_id
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.idempotency import once
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.routing import Router
from reel_shared.web.schemas import Page
from reel_trainer.views import RemovedPins, SplitPinView, pin_view

router = Router(tags=["split pins"])


@router.post("/v1/split-pins", status_code=201, response_model=SplitPinView)
def create_split_pin(body: SplitPinRequest, principal: Submitter, request: Request) -> Response:
    """Put a scene, a stretch of a film or one picture on a side, from the next dataset version on.

    What hangs together with it goes along. Two pins that contradict each other fail the next version.
    """
    content = body.model_dump(mode="json")
    with transaction() as session:

        def act() -> dict[str, object]:
            _exists(session, body)
            row = SplitPin(id=new_id("pin"), by=principal.id, **body.model_dump())
            session.add(row)
            session.flush()
            return pin_view(row)

        found = once(session, request, principal.id, content, act, status=201)
    return JSONResponse(found.body, 201, headers=found.headers)


@router.get("/v1/split-pins", response_model=Page[SplitPinView])
def list_split_pins(
    _principal: Reader,
    dataset: str | None = None,
    side: str | None = None,
    movie_id: str | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """Pins, the newest first."""
    wanted = listing(cursor, limit, dataset=dataset, side=side, movie_id=movie_id)
    with reading() as session:
        query = sa.select(SplitPin).filter_by(**wanted.filters)
        return JSONResponse(wanted.page(session, query, SplitPin, pin_view))


@router.delete("/v1/split-pins", response_model=RemovedPins)
def delete_split_pins(job_id: str, _principal: Submitter) -> RemovedPins:
    """Take away every pin that an import has set; dataset versions that stand keep their sides."""
    with transaction() as session:
        gone = session.execute(sa.delete(SplitPin).where(SplitPin.by == job_id).returning(SplitPin.id))
        return RemovedPins(removed=len(gone.all()))


@router.delete("/v1/split-pins/{pin_id}", status_code=204)
def delete_split_pin(pin_id: str, _principal: Submitter) -> None:
    """Take a pin away; dataset versions that stand keep their sides."""
    with transaction() as session:
        row = session.get(SplitPin, pin_id)
        if row is None:
            raise NotFound(f"There is no pin {pin_id}; GET /v1/split-pins lists them.")
        session.delete(row)


def _exists(session: Session, pin: SplitPinRequest) -> None:
    if pin.image_id is not None:
        image = session.get(Image, pin.image_id)
        if image is None or image.dataset != pin.dataset:
            raise Unprocessable(f"Dataset {pin.dataset!r} has no picture {pin.image_id}.")
        if image.variant != Variant.ORIGINAL:
            raise Unprocessable(
                f"Picture {image.id} is a variant of {image.parent_id}; pin that one, its variants follow."
            )
        return
    movie = session.get(Movie, pin.movie_id)
    if movie is None or movie.dataset != pin.dataset:
        raise Unprocessable(f"Dataset {pin.dataset!r} has no film {pin.movie_id}.")
    if pin.scene is not None and pin.scene >= movie.scenes:
        raise Unprocessable(
            f"{movie.id} has {movie.scenes} scenes, counted from 0; there is no scene {pin.scene}."
        )
    if pin.start_seconds is not None and pin.start_seconds >= movie.duration_seconds:
        raise Unprocessable(
            f"{movie.id} lasts {movie.duration_seconds:g} s; nothing begins at {pin.start_seconds:g} s."
        )
