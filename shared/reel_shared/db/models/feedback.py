"""What people say of answers: right or wrong, and what the picture shows; a queue for review."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reel_shared.db.models.base import Base, utcnow


class Feedback(Base):
    """The last word on one model's answer to one picture."""

    __tablename__ = "feedback"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key: Mapped[str] = mapped_column(String(500))
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    predicted: Mapped[str] = mapped_column(String(64))
    right: Mapped[bool]
    label: Mapped[str] = mapped_column(String(64), default="")
    """What it shows, as the person says; empty: they did not."""
    by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    done_at: Mapped[datetime | None]
    """When somebody had looked at it."""

    __table_args__ = (
        Index("uq_feedback_key", "key", "model_id", unique=True),
        Index("ix_feedback_created", "created_at", "id"),
    )
