"""The database rows of movies, collections and their pictures; called by tasks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from reel_ingest.frame_records import FrameRecord
from reel_shared.contracts import Source, StoredFile, Variant
from reel_shared.db.engine import transact
from reel_shared.db.models import Collection, Movie, Takedown
from reel_shared.ids import new_id

Row = dict[str, Any]


def taken_down() -> frozenset[str]:
    """Return the sha256 of every picture that must not be stored again."""
    rows = transact(lambda session: session.scalars(sa.select(Takedown.sha256)).all())
    return frozenset(rows)


def frame_row(movie: Movie, frame: FrameRecord) -> Row:
    return {
        **_common(movie, Source.MOVIE, frame),
        "width": frame.width,
        "height": frame.height,
        "phash": f"{frame.phash:016x}",
        "quality": frame.quality,
        "movie_id": movie.id,
        "scene": frame.scene,
        "frame_index": frame.index,
        "pts": frame.pts,
        "time_seconds": frame.time_seconds,
        "title": movie.title,
    }


def _common(parent: Movie | Collection, source: Source, stored: StoredFile | FrameRecord) -> Row:
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
