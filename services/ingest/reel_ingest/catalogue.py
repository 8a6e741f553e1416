"""The database rows of movies, collections and their pictures; called by tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from reel_ingest.frames import Frame
from reel_ingest.pictures import Picture
from reel_shared.contracts import Counts, Source, StoredFile, Variant
from reel_shared.db.engine import transact
from reel_shared.db.models import Collection, Image, Movie
from reel_shared.ids import new_id

log = structlog.get_logger(__name__)
Row = dict[str, Any]


def known_pictures(dataset: str) -> list[tuple[str, int]]:
    """Return (sha256, phash) of every original picture that a dataset holds."""
    query = sa.select(Image.sha256, Image.phash).where(
        Image.dataset == dataset, Image.variant == Variant.ORIGINAL
    )
    rows = transact(lambda session: session.execute(query).all())
    return [(row.sha256, int(row.phash, 16)) for row in rows]


def frame_row(movie: Movie, frame: Frame, stored: StoredFile) -> Row:
    return {
        **_common(movie, Source.MOVIE, stored),
        "width": frame.width,
        "height": frame.height,
        "phash": f"{frame.phash:016x}",
        "movie_id": movie.id,
        "scene": frame.scene,
        "frame_index": frame.index,
        "pts": frame.pts,
        "time_seconds": frame.time_seconds,
        "title": movie.title,
    }


def picture_row(collection: Collection, picture: Picture, stored: StoredFile) -> Row:
    candidate = picture.candidate
    return {
        **_common(collection, Source.WEB, stored),
        "width": picture.width,
        "height": picture.height,
        "phash": f"{picture.phash:016x}",
        "collection_id": collection.id,
        "style": collection.style,
        "title": candidate.title[:300],
        "creator": candidate.creator[:300],
        "licence": candidate.licence[:100],
        "licence_url": candidate.licence_url,
        "attribution": candidate.attribution,
        "page_url": candidate.page_url,
        "url": candidate.url,
        "provider": candidate.provider,
    }


def _common(parent: Movie | Collection, source: Source, stored: StoredFile) -> Row:
    return {
        "id": new_id("img"),
        "dataset": parent.dataset,
        "label": parent.label,
        "source": source,
        "variant": Variant.ORIGINAL,
        "key": stored.key,
        "sha256": stored.sha256,
        "media_type": stored.media_type,
        "size": stored.size,
        "job_id": parent.job_id,
    }


def write(session: Session, parent: Movie | Collection, rows: Sequence[Row], counts: Counts) -> None:
    """Add a movie or a collection with its pictures.

    A picture that another job has added since this one looked is left to that job; ``counts`` then says so.
    """
    session.add(parent)
    session.flush()
    if not rows:
        return
    images = cast(sa.Table, Image.__table__)
    postgres = session.get_bind().dialect.name == "postgresql"
    added = 0
    for row in rows:
        insert: Any = (postgresql.insert if postgres else sqlite.insert)(images).values(row)
        written = session.execute(insert.on_conflict_do_nothing().returning(images.c.id))
        added += written.one_or_none() is not None
    counts.exact_duplicates += counts.kept - added
    counts.kept = added
    if added < len(rows):
        log.warning("images.added_elsewhere", parent=parent.id, count=len(rows) - added)
