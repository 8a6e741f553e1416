"""Jobs, their append-only events, the outbox of messages still to be sent, paused queues, and named locks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from reel_shared.db.models.base import Base, utcnow

_IN_FORCE = "resumed_at IS NULL"
_PART_IN_USE = "part IS NOT NULL AND state NOT IN ('failed', 'canceled')"


class Job(Base):
    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    queue: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    request: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    progress_done: Mapped[int] = mapped_column(default=0)
    progress_total: Mapped[int | None]
    progress_unit: Mapped[str] = mapped_column(String(32), default="")
    progress_message: Mapped[str] = mapped_column(String(300), default="")
    owner: Mapped[str] = mapped_column(String(64), default="")
    labels: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    part: Mapped[int | None]
    """Its number within the parent when it does a part of the parent's work; None for a job of its own."""
    version: Mapped[int] = mapped_column(default=1)
    """Grows with every change that a reader can see; the ETag."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    lease_token: Mapped[str | None] = mapped_column(String(40))
    lease_until: Mapped[datetime | None]
    worker: Mapped[str] = mapped_column(String(120), default="")
    request_id: Mapped[str | None] = mapped_column(String(128))
    """Of the HTTP request that it goes back to; None when there was none, and for jobs of older releases."""
    traceparent: Mapped[str | None] = mapped_column(String(55))
    """The trace that its worker goes on with; see ``reel_shared.origins``."""

    __table_args__ = (
        Index("ix_jobs_state_queue", "state", "queue", "created_at", "id"),
        Index("ix_jobs_created", "created_at", "id"),
        Index("ix_jobs_parent", "parent_id"),
        Index("ix_jobs_kind", "kind", "created_at", "id"),
        Index("ix_jobs_owner", "owner", "created_at", "id"),
        Index(
            "uq_jobs_part",
            "parent_id",
            "kind",
            "part",
            unique=True,
            sqlite_where=text(_PART_IN_USE),
            postgresql_where=text(_PART_IN_USE),
        ),
    )


class JobEvent(Base):
    """What happened to a job, in order. Never changed; at most one terminal event a job.

    Never deleted either, but for the older ones of type ``log``: of a process's log the end is kept.
    """

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    at: Mapped[datetime] = mapped_column(default=utcnow)
    type: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]]
    terminal: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (
        Index("ix_job_events_job", "job_id", "id"),
        Index(
            "uq_job_events_terminal",
            "job_id",
            unique=True,
            sqlite_where=text("terminal"),
            postgresql_where=text("terminal"),
        ),
    )


class OutboxMessage(Base):
    """A bell that has yet to be rung: written with the job, deleted once the broker has the message."""

    __tablename__ = "outbox"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    not_before: Mapped[datetime | None] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class QueuePause(Base):
    """A time in which no worker claims from a queue, kept for ever; a queue is paused while one has no end."""

    __tablename__ = "queue_pauses"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    queue: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(300), default="")
    by: Mapped[str] = mapped_column(String(64))
    """The id of the key that asked for it."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    resumed_at: Mapped[datetime | None]
    resumed_by: Mapped[str] = mapped_column(String(64), default="")

    __table_args__ = (
        Index("ix_queue_pauses_created", "created_at", "id"),
        Index(
            "uq_queue_pauses_queue",
            "queue",
            unique=True,
            sqlite_where=text(_IN_FORCE),
            postgresql_where=text(_IN_FORCE),
        ),
    )


class Lock(Base):
    __tablename__ = "locks"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    until: Mapped[datetime]
