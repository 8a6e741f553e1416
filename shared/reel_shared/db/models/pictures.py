"""What ingest and augment bring in: movies, web collections and every picture with its lineage."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

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
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


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
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"))
    seed: Mapped[int | None] = mapped_column(BigInteger)
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
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        Index(
            "uq_images_original",
            "dataset",
            "sha256",
            unique=True,
            sqlite_where=text("variant = 'original'"),
            postgresql_where=text("variant = 'original'"),
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
        Index("ix_images_created", "created_at", "id"),
    )
