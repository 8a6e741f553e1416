"""`/pictures/{id}`: one picture with its origin, its relatives and what was decided; and its thumbnail."""

from __future__ import annotations

import io
from typing import Any, Literal

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.contracts import ACTIVE, ImageState
from reel_shared.db.engine import reading
from reel_shared.db.lookups import find_model
from reel_shared.db.models import Image, ImageChange, Movie, SubjectMark
from reel_shared.errors import NoModel, NotFound, Unavailable
from reel_shared.images import open_picture
from reel_shared.settings import settings
from reel_shared.storage import hasty_storage, storage
from reel_shared.web.envelope import timestamp
from reel_shared.web.routing import Router
from reel_web import catalogue, versions
from reel_web.evaluations import evaluation_of
from reel_web.pages.datasets import clock, tile
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Reader

router = Router(route_class=PageRoute)
HISTORY_ROWS = 50
QUALITY = 82
WEEK = 7 * 24 * 3600


@router.get("/pictures/{image_id}/thumbnail")
def thumbnail(image_id: str, _viewer: Reader, side: Literal["240", "720"] = "240") -> Response:
    """The picture as a JPEG with at most ``side`` pixels a side. Its bytes never change, so that browsers keep it."""
    with reading() as session:
        image = _image(session, image_id)
        if image.state == ImageState.REMOVED:
            raise NotFound(f"{image_id} was taken down; there is nothing to show.")
        key, sha256 = image.key, image.sha256
    limits = settings().limits
    data = hasty_storage().get_bytes(key, max_bytes=limits.picture_bytes, sha256=sha256)
    return Response(
        _reduced(data, int(side)),
        media_type="image/jpeg",
        headers={"Cache-Control": f"private, max-age={WEEK}, immutable"},
    )


def _reduced(data: bytes, side: int) -> bytes:
    limits = settings().limits
    picture = open_picture(
        data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes, target=side
    )
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


@router.get("/pictures/{image_id}")
@router.get("/pictures/{image_id}.json")  # registered first: decorators work from below
def show_picture(image_id: str, request: Request, viewer: Reader) -> Response:
    """Where it comes from, what it may be used for, what stands around it and looks like it, what was decided."""
    with reading() as session:
        image = _image(session, image_id)
        films = catalogue.films(session, image.dataset)
        built = catalogue.versions(session, image.dataset, limit=1)
        side, reason = _side(built, image.id)
        mark = session.get(SubjectMark, image_id)
        data = {
            "picture": {
                **tile(image, films),
                "side": side,
                "side_reason": reason,
                "dataset": image.dataset,
                "url": None if image.state == ImageState.REMOVED else storage().presigned_url(image.key),
                "width": image.width,
                "height": image.height,
                "size": image.size,
                "media_type": image.media_type,
                "quality": image.quality or {},
                "probe": image.probe,
                "mark": mark.mark if mark else None,
                "parent_id": image.parent_id,
                "duplicate_of": image.duplicate_of,
                "job_id": image.job_id,
                "created_at": timestamp(image.created_at),
            },
            "version_id": built[0].id if built else None,
            "origin": _origin(session, image),
            "predictions": _predictions(session, image.id),
            "neighbours": [tile(one, films) for one in catalogue.neighbours_in_time(session, image, each=4)],
            "alike": [
                {**tile(one, films), "bits": bits} for one, bits in catalogue.near_duplicates(session, image)
            ],
            "variants": [tile(one, films) for one in catalogue.variants(session, image)],
            "history": _history(session, image_id),
            "labels": catalogue.labels(session, image.dataset),
            "may_change": viewer.may("submit"),
        }
    return page(request, "picture.html", data)


def _image(session: Session, image_id: str) -> Image:
    image = session.get(Image, image_id)
    if image is None:
        raise NotFound(f"There is no picture {image_id[:40]}.")
    return image


def _side(built: Any, image_id: str) -> tuple[str | None, str]:
    if not built:
        return None, ""
    try:
        found = versions.view_of(built[0])
    except (Unavailable, NotFound):
        return None, ""
    return found.side_of.get(image_id, "none"), found.reason_of.get(image_id, "")


def _origin(session: Session, image: Image) -> dict[str, Any]:
    """What is known of where a picture was taken from; of a variant, of its original."""
    source = session.get(Image, image.parent_id) if image.parent_id else image
    assert source is not None  # a variant's original is never deleted
    movie = session.get(Movie, source.movie_id) if source.movie_id else None
    return {
        "source": str(source.source),
        "film": (movie.title or movie.label) if movie else None,
        "movie_id": source.movie_id,
        "scene": source.scene,
        "frame_index": source.frame_index,
        "time": clock(source.time_seconds) if source.time_seconds is not None else None,
        "time_seconds": source.time_seconds,
        "title": source.title,
        "creator": source.creator,
        "licence": source.licence,
        "licence_url": _web(source.licence_url),
        "attribution": source.attribution,
        "page_url": _web(source.page_url),
        "url": _web(source.url),
        "provider": source.provider,
        "style": source.style,
        "taken_at": timestamp(source.taken_at),
    }


def _web(address: str) -> str:
    """Return an address only where a link to it leads to the web: what a provider sent may be anything."""
    return address if address.startswith(("https://", "http://")) else ""


def _predictions(session: Session, image_id: str) -> dict[str, Any] | None:
    """What the active model said of the picture when it was judged; None where it never judged it."""
    try:
        model = find_model(session, ACTIVE)
    except NoModel:
        return None
    try:
        judged = evaluation_of(model)
    except (Unavailable, NotFound):
        return None
    row = next((one for one in judged.pictures if one.id == image_id), None) if judged else None
    if row is None:
        return None
    top = [{"label": one.label, "probability": one.probability} for one in row.top]
    return {"model": model.id, "number": model.number, "right": row.right, "top": top}


def _history(session: Session, image_id: str) -> list[dict[str, Any]]:
    query = sa.select(ImageChange).filter_by(image_id=image_id).order_by(ImageChange.id.desc())
    return [
        {
            "batch_id": row.batch_id,
            "field": row.field,
            "before": row.before,
            "after": row.after,
            "reason": row.reason,
            "by": row.by,
            "at": timestamp(row.at),
        }
        for row in session.scalars(query.limit(HISTORY_ROWS))
    ]
