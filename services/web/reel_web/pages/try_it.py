"""`/`, the demo: drop a picture, see what it is and where the model looked. The work is done by `/v1`."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.contracts import ACTIVE
from reel_shared.db.engine import reading
from reel_shared.db.lookups import find_model
from reel_shared.errors import NoModel
from reel_shared.security import Principal
from reel_shared.settings import settings
from reel_shared.web.routing import Router
from reel_web import answers
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Greeted

router = Router(route_class=PageRoute, dependencies=[Greeted])


@router.get("/")
@router.get("/index.json")
def try_it(request: Request) -> Response:
    """The demo page, or what to do when there is no model yet."""
    public = settings().web.public_demo
    viewer: Principal | None = request.state.principal
    is_open = public or (viewer is not None and viewer.may("submit"))
    with reading() as session:
        model, examples = active_model(session), []
        if model is not None and is_open:
            examples = answers.examples(session, find_model(session, ACTIVE))
    limits = settings().limits
    data = {
        "model": model,
        "open": is_open,
        "visitor": public,
        "examples": [each["id"] for each in examples],
        "hours": settings().web.visitor_hours,
        "picture_bytes": limits.picture_bytes,
        "base_url": str(request.base_url).rstrip("/"),
    }
    return page(request, "try_it.html", data)


def active_model(session: Session) -> dict[str, Any] | None:
    """What the page says of the model that serves."""
    try:
        row = find_model(session, ACTIVE)
    except NoModel:
        return None
    # A model that was trained on its validation pictures too has no accuracy worth showing.
    overall = (row.metrics.get("all") or {}) if row.card.get("held_out", True) else {}
    return {
        "id": row.id,
        "architecture": row.architecture,
        "classes": row.card["classes"],
        "size": row.card["size"],
        "accuracy": overall.get("accuracy"),
        "images": overall.get("images"),
    }
