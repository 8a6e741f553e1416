"""Marks of subjects, as people set them or as their changes of state imply them; called by the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_ingest.changes import Edit, chunks
from reel_shared.contracts import ImageState, Source, Variant
from reel_shared.contracts.curation import Mark
from reel_shared.db.inserts import insert
from reel_shared.db.models import Image, SubjectMark, utcnow

BACKGROUND = "background"
"""The mark, and the reason of a rejection that says the same."""


def write(session: Session, image_ids: Iterable[str], mark: Mark, *, by: str) -> None:
    """Mark pictures; an earlier mark is replaced."""
    rows = [{"image_id": name, "mark": mark, "by": by, "at": utcnow()} for name in sorted(set(image_ids))]
    if not rows:
        return
    add = insert(session, SubjectMark)
    new = {name: add.excluded[name] for name in ("mark", "by", "at")}
    session.execute(add.on_conflict_do_update(index_elements=[SubjectMark.image_id], set_=new), rows)


def remove(session: Session, image_ids: Sequence[str], mark: Mark | None = None) -> None:
    """Take marks away; with ``mark``, only those that say so."""
    same = [SubjectMark.mark == mark] if mark is not None else []
    for part in chunks(image_ids):
        session.execute(sa.delete(SubjectMark).where(SubjectMark.image_id.in_(part), *same))


def count(session: Session, *, dataset: str, label: str | None, movie_id: str | None) -> dict[Mark, int]:
    """Return how many frames of films that were not taken down are marked, by mark."""
    query = (
        sa.select(SubjectMark.mark, sa.func.count())
        .join(Image, Image.id == SubjectMark.image_id)
        .where(
            Image.dataset == dataset,
            Image.source == Source.MOVIE,
            Image.variant == Variant.ORIGINAL,
            Image.state != ImageState.REMOVED,
            *([Image.label == label] if label else []),
            *([Image.movie_id == movie_id] if movie_id else []),
        )
        .group_by(SubjectMark.mark)
    )
    found = dict(session.execute(query).all())
    return {"keep": found.get("keep", 0), "background": found.get("background", 0)}


def implied(edits: Iterable[Edit]) -> dict[Mark, list[str]]:
    """Return what a person's changes say of subjects: rejecting as background, and taking that back."""
    found: dict[Mark, list[str]] = {"keep": [], "background": []}
    for one in edits:
        was = (one.before.state, one.before.state_reason) == (ImageState.REJECTED, BACKGROUND)
        now = (one.state, one.state_reason) == (ImageState.REJECTED, BACKGROUND)
        if now and not was:
            found["background"].append(one.before.id)
        elif was and one.state == ImageState.ACTIVE:
            found["keep"].append(one.before.id)
    return found
