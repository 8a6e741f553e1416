"""INSERT with what SQLite and PostgreSQL add to it: ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert(session: Session, into: Any) -> Any:
    """Return an INSERT into a table or model, as the session's database speaks it."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(into)
