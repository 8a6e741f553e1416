"""Locks that are held until the transaction ends, for what row locks cannot say; called before anything is read."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

_REMOVALS = 0x7265_656C_0001
"""Any number that no other lock of this database has."""
_REGISTRY = 0x7265_656C_0002


def hold_off_removals(session: Session) -> None:
    """Let no take-down pass until what this transaction writes of pictures can be seen; many may hold it at once.

    Whoever has it sees every take-down that came before, and every later one sees what was written.
    """
    _take(session, sa.func.pg_advisory_xact_lock_shared(_REMOVALS))


def remove_alone(session: Session) -> None:
    """Wait for all that ``hold_off_removals``, and keep them waiting."""
    _take(session, sa.func.pg_advisory_xact_lock(_REMOVALS))


def one_after_the_other(session: Session, dataset: str) -> None:
    """Let only one transaction at a time bring pictures into a dataset."""
    _take(session, sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"dataset:{dataset}", 0)))


def registry_alone(session: Session) -> None:
    """Let only one transaction at a time add models or move aliases: each sees what the one before did."""
    _take(session, sa.func.pg_advisory_xact_lock(_REGISTRY))


def _take(session: Session, lock: sa.ColumnElement[None]) -> None:
    # SQLite has one writer anyway.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(lock))
