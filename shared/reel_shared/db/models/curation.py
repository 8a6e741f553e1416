"""What people decide about pictures: changes of state, marks, pins to a side of the split, take-downs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reel_shared.db.models.base import Base, utcnow


class ImageChange(Base):
    """One change of a picture's state or label, never altered: the way back, and what the checks learn from."""

    __tablename__ = "image_changes"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    batch_id: Mapped[str] = mapped_column(String(40))
    """All changes of one action, so that it can be undone as one."""
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"))
    field: Mapped[str] = mapped_column(String(16))
    """``state`` or ``label``."""
    before: Mapped[str] = mapped_column(String(64))
    after: Mapped[str] = mapped_column(String(64))
    reason_before: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(String(64), default="")
    by: Mapped[str] = mapped_column(String(64), default="")
    at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        Index("ix_image_changes_batch", "batch_id"),
        Index("ix_image_changes_image", "image_id", "id"),
    )


class SubjectMark(Base):
    """What a person says of one picture: its subject is worth keeping, or it is background only."""

    __tablename__ = "subject_marks"

    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), primary_key=True)
    mark: Mapped[str] = mapped_column(String(16))
    by: Mapped[str] = mapped_column(String(64), default="")
    at: Mapped[datetime] = mapped_column(default=utcnow)


class SplitPin(Base):
    """A scene, a stretch of time in a film, or one picture that a person put on a side of the split."""

    __tablename__ = "split_pins"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64), index=True)
    side: Mapped[str] = mapped_column(String(16))
    movie_id: Mapped[str | None] = mapped_column(ForeignKey("movies.id"))
    scene: Mapped[int | None]
    start_seconds: Mapped[float | None]
    end_seconds: Mapped[float | None]
    image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"))
    by: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Takedown(Base):
    """A picture that had to go, and what keeps it from coming back."""

    __tablename__ = "takedowns"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    phash: Mapped[str] = mapped_column(String(16))
    url: Mapped[str] = mapped_column(Text, default="")
    page_url: Mapped[str] = mapped_column(Text, default="")
    reason: Mapped[str] = mapped_column(String(500), default="")
    by: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]
    """When its files were gone and the versions and models that used it were marked."""

    __table_args__ = (Index("ix_takedowns_created", "created_at", "id"),)
