"""API keys (only their hashes), what was done to them, and remembered answers for Idempotency-Key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reel_shared.db.models.base import Base, utcnow


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    limits: Mapped[dict[str, Any] | None]
    """Its own, by the names of ``quotas.KeyLimits``; none: as the deployment says."""


class KeyChange(Base):
    """One thing done to an API key, never altered: by whom, and when."""

    __tablename__ = "key_changes"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    action: Mapped[str] = mapped_column(String(16))
    """A ``security.KeyAction``."""
    by: Mapped[str] = mapped_column(String(64), default="")
    """The id of the key that asked for it; empty: whoever runs the platform, on its machine."""
    scopes: Mapped[list[Any]]
    limits: Mapped[dict[str, Any] | None]
    """Its own, as they were from then on."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (Index("ix_key_changes_created", "created_at", "id"),)


class IdempotencyRecord(Base):
    """The first answer to an Idempotency-Key, committed together with the work that it tells of.

    Nobody else sees a record without its answer: while the first request is in flight its row is not committed.
    """

    __tablename__ = "idempotency_records"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
