"""Where people want to be told of jobs that end, and what they were told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from reel_shared.db.models.base import Base, utcnow

_PENDING = "state = 'pending'"
_ENABLED = "disabled_at IS NULL"


class WebhookEndpoint(Base):
    __tablename__ = "webhook_endpoints"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    """The API key that made it; when that is revoked or expired, nothing is sent any more."""
    url: Mapped[str] = mapped_column(String(4096))
    description: Mapped[str] = mapped_column(String(200), default="")
    events: Mapped[list[Any]]
    """Of ``webhooks.EVENTS``."""
    kinds: Mapped[list[Any]]
    """Of jobs; empty: all."""
    all_jobs: Mapped[bool]
    """Of every owner; else of its own owner alone."""
    secret: Mapped[str] = mapped_column(String(100))
    """What deliveries are signed with; as it is, for a hash could sign nothing."""
    old_secrets: Mapped[list[Any] | None]
    """Those before it, each with ``secret`` and ``until``, an ISO 8601 moment up to which it signs too."""
    failing_since: Mapped[datetime | None]
    """The first failure since the last success."""
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        Index("ix_webhook_endpoints_created", "created_at", "id"),
        Index("ix_webhook_endpoints_owner", "owner", "created_at", "id"),
        Index(
            "ix_webhook_endpoints_enabled",
            "owner",
            sqlite_where=text(_ENABLED),
            postgresql_where=text(_ENABLED),
        ),
    )


class WebhookDelivery(Base):
    """One thing to tell one endpoint, written in the transaction that ends the job. Its id is the ``webhook-id``.

    Its endpoint and job are no foreign keys: a job's end must not fail because an endpoint was deleted meanwhile.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(String(40))
    event: Mapped[str] = mapped_column(String(32))
    job_id: Mapped[str | None] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16), default="pending")
    """``pending``, ``delivered`` or ``failed``."""
    attempt: Mapped[int] = mapped_column(default=0)
    """Tries since it was made or last asked for by hand."""
    next_at: Mapped[datetime | None]
    """When a pending one is due; while a sender has it in hand, when another may take it."""
    tries: Mapped[list[Any]] = mapped_column(default=list)
    """Of every try: ``at``, ``status`` (null without an answer), ``seconds``, ``error``."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    delivered_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_webhook_deliveries_endpoint", "endpoint_id", "created_at", "id"),
        Index("ix_webhook_deliveries_created", "created_at", "id"),
        Index(
            "ix_webhook_deliveries_pending",
            "endpoint_id",
            "next_at",
            sqlite_where=text(_PENDING),
            postgresql_where=text(_PENDING),
        ),
    )
