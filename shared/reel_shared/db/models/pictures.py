"""What ingest and augment bring in: movies, web collections and every picture with its lineage."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from reel_shared.contracts import ImageState
from reel_shared.db.models.base import Base, utcnow


class Movie(Base):
    __tablename__ = "movies"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64), index=True)
    label: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200), default="")
    key: Mapped[str] = mapped_column(String(500))
    codec: Mapped[str] = mapped_column(String(40))
    width: Mapped[int]
    height: Mapped[int]
    frame_rate: Mapped[float]
    duration_seconds: Mapped[float]
    scenes: Mapped[int]
    crop: Mapped[list[Any]]
    borders: Mapped[dict[str, Any] | None]
    """What was measured at the edges, with the evidence; None for films from before it was kept."""
    sampling: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Which frames were asked for: the sampling fields of the request."""
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Collection(Base):
    """One web collection: what was asked of which provider."""

    __tablename__ = "collections"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64), index=True)
    label: Mapped[str] = mapped_column(String(64))
    provider: Mapped[str] = mapped_column(String(32))
    query: Mapped[str] = mapped_column(String(200), default="")
    style: Mapped[str] = mapped_column(String(40), default="")
    styles: Mapped[list[Any]] = mapped_column(default=list)
    """All styles that were asked for, when there was more than one."""
    since: Mapped[datetime | None]
    until: Mapped[datetime | None]
    probe: Mapped[str] = mapped_column(String(64), default="")
    """Name of the probe set that these pictures make up; such pictures are never trained on."""
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Candidate(Base):
    """One picture that a collection looked at, and what came of it; written as the job goes, so that a job that
    died goes on where it was, and only failures are tried again."""

    __tablename__ = "candidates"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    url: Mapped[str] = mapped_column(Text)
    url_sha256: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(64), default="")
    """Why it was refused; empty for one that was stored."""
    transient: Mapped[bool] = mapped_column(default=False)
    """Whether trying again later may help."""
    picture: Mapped[dict[str, Any] | None]
    """Of one that was stored: its file and what was found out about it."""

    __table_args__ = (Index("uq_candidates_job_url", "job_id", "url_sha256", unique=True),)


class Image(Base):
    """One picture in the bucket: a film's frame, a web picture, or a variant of one."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(16))
    variant: Mapped[str] = mapped_column(String(24), default="original")
    key: Mapped[str] = mapped_column(String(500))
    sha256: Mapped[str] = mapped_column(String(64))
    media_type: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    phash: Mapped[str] = mapped_column(String(16))
    phash_with_bars: Mapped[str | None] = mapped_column(String(16))
    """Of a web picture with bars around it, of which ``phash`` leaves the bars out."""
    state: Mapped[str] = mapped_column(String(16), default=ImageState.ACTIVE)
    state_reason: Mapped[str] = mapped_column(String(64), default="")
    duplicate_of: Mapped[str | None] = mapped_column(String(40))
    """The picture that this one repeats or, in quarantine, contradicts."""
    quality: Mapped[dict[str, Any] | None]
    """Score by check, as measured; None where it was not."""
    probe: Mapped[str] = mapped_column(String(64), default="")
    """Name of the probe set it belongs to."""
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"))
    seed: Mapped[int | None] = mapped_column(BigInteger)
    impossible_variants: Mapped[list[Any] | None]
    """Of an original: the kinds that its contrast does not allow; None until a job has looked at it."""
    # a film's frame
    movie_id: Mapped[str | None] = mapped_column(ForeignKey("movies.id"))
    scene: Mapped[int | None]
    frame_index: Mapped[int | None]
    pts: Mapped[int | None] = mapped_column(BigInteger)
    time_seconds: Mapped[float | None]
    # a web picture
    collection_id: Mapped[str | None] = mapped_column(ForeignKey("collections.id"))
    style: Mapped[str] = mapped_column(String(40), default="")
    title: Mapped[str] = mapped_column(String(300), default="")
    creator: Mapped[str] = mapped_column(String(300), default="")
    licence: Mapped[str] = mapped_column(String(100), default="")
    licence_url: Mapped[str] = mapped_column(Text, default="")
    attribution: Mapped[str] = mapped_column(Text, default="")
    page_url: Mapped[str] = mapped_column(Text, default="")
    url: Mapped[str] = mapped_column(Text, default="")
    provider: Mapped[str] = mapped_column(String(32), default="")
    taken_at: Mapped[datetime | None]
    """When the picture was made or published, as its provider says."""
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        Index(
            "uq_images_original",
            "dataset",
            "sha256",
            unique=True,
            sqlite_where=text("variant = 'original' AND state = 'active'"),
            postgresql_where=text("variant = 'original' AND state = 'active'"),
        ),
        Index(
            "uq_images_variant",
            "parent_id",
            "variant",
            unique=True,
            sqlite_where=text("parent_id IS NOT NULL"),
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        Index("ix_images_dataset_label", "dataset", "label", "source", "variant"),
        Index("ix_images_dataset_state", "dataset", "state", "label"),
        Index("ix_images_created", "created_at", "id"),
        Index("ix_images_movie", "movie_id", "frame_index"),
        Index("ix_images_collection", "collection_id"),
        Index("ix_images_duplicate_of", "duplicate_of"),
        Index("ix_images_sha256", "sha256"),
        # What the data set page counts and what it walks; all its columns, so that no row is read.
        Index(
            "ix_images_facets",
            *("dataset", "variant", "state", "state_reason", "label", "source", "movie_id"),
        ),
        Index(
            "ix_images_grid",
            *("dataset", "id", "variant", "state", "state_reason", "label", "source", "movie_id", "phash"),
        ),
    )
