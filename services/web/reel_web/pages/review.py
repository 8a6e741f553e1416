"""`/review`: pictures in doubt, the most suspicious first, a sheet of them at a time; decided by keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import Query, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.db.engine import reading
from reel_shared.db.models import Image
from reel_shared.web.routing import Router
from reel_web import catalogue, suspicion
from reel_web.pages.datasets import tile
from reel_web.rendering import PageRoute, page, people
from reel_web.sessions import Reader
from reel_web.suspicion import KINDS, Case

router = Router(route_class=PageRoute)
SHEET = 16
SEARCHED = 3
"""So many of the newest data sets are looked through for one with something in doubt, where none is asked for."""
KEYED_LABELS = 10
"""Classes that have a key: 1 to 9, and 0 for the tenth."""


@router.get("/review")
@router.get("/review.json")
def review(
    request: Request,
    viewer: Reader,
    dataset: str = "",
    kind: str = "",
    view: Literal["one", "sheet"] = "one",
    skip: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """The next cases behind the ``skip`` that were left undecided, and how many there are of each kind."""
    with reading() as session:
        name, whole, missing = _in_doubt(session, [dataset] if dataset else _newest(session), kind)
        cases = [case for case in whole if not kind or case.kind == kind]
        shown = cases[skip : skip + SHEET]
        pictures = catalogue.named(session, [one for case in shown for one in (case.image_id, *case.others)])
        films = catalogue.films(session, name) if name else {}
        kept = {"dataset": name, "kind": kind, "view": "" if view == "one" else view}
        data = {
            "dataset": name,
            "kind": kind,
            "view": view,
            "skip": skip,
            "total": len(cases),
            "kinds": [
                {"name": key, "title": KINDS[key], "count": count, "address": _to(kept, kind=key)}
                for key, count in suspicion.counts(whole).items()
            ],
            "every": {"count": len(whole), "address": _to(kept, kind="")},
            "views": {one: _to(kept, view="" if one == "one" else one) for one in ("one", "sheet")},
            "data": [_case(case, pictures, films) for case in shown if case.image_id in pictures],
            "missing": missing,
            "edges": suspicion.edges(session, name) if name else [],
            "labels": catalogue.labels(session, name) if name else [],
            "datasets": [one["name"] for one in catalogue.datasets(session)],
            "may_change": viewer.may("submit"),
        }
    return page(request, "review.html", data)


def _newest(session: Session) -> Sequence[str]:
    """The data sets that were given pictures last."""
    given = sa.func.max(Image.created_at)
    return session.scalars(
        sa.select(Image.dataset).group_by(Image.dataset).order_by(given.desc(), Image.dataset).limit(SEARCHED)
    ).all()


def _in_doubt(session: Session, names: Sequence[str], kind: str) -> tuple[str, list[Case], list[str]]:
    """The first data set of which something is in doubt, or cannot be asked; else simply the first. With its queue."""
    first: tuple[str, list[Case], list[str]] | None = None
    for name in names:
        cases, missing = suspicion.queue(session, name)
        if missing or any(not kind or case.kind == kind for case in cases):
            return name, cases, missing
        first = first or (name, cases, missing)
    return first or ("", [], [])


def _to(kept: Mapping[str, str], **changes: str) -> str:
    parameters = {name: value for name, value in {**kept, **changes}.items() if value}
    return "/review" + (f"?{urlencode(parameters)}" if parameters else "")


def _case(case: Case, pictures: Mapping[str, Image], films: Mapping[str, str]) -> dict[str, Any]:
    image = pictures[case.image_id]
    return {
        **tile(image, films),
        "case": case.kind,
        "why": _why(case, image),
        "suggested": case.suggested,
        "confidence": case.confidence,
        "others": [tile(pictures[one], films) for one in case.others if one in pictures],
    }


def _why(case: Case, image: Image) -> str:
    """Say in a sentence why it is here."""
    sure = "" if case.confidence is None else f" ({100 * case.confidence:.0f} %)"
    if case.kind == "conflict":
        return "The same picture stands under another class too. Which is right?"
    if case.kind == "label":
        return f"Filed under {people(image.label)}; it looks more like {people(case.suggested)}{sure}."
    if case.kind == "empty":
        return f"Perhaps there is only background in it{sure}."
    if case.kind == "border":
        return f"At the edges of its film: {case.said}."
    if case.kind == "model":
        return (
            f"Filed under {people(image.label)}; the model that serves says {people(case.suggested)}{sure}."
        )
    return f"It was put in quarantine: {people(image.state_reason).lower() or 'without a reason'}."
