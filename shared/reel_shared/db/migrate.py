"""Brings a database to the newest schema; called once at deployment, by `reel up`, and by tests."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from reel_shared.db.engine import engine


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


def migrate() -> None:
    """Upgrade the configured database to the newest revision."""
    made = config()
    with engine().execution_options(reel_write=True).connect() as connection:
        made.attributes["connection"] = connection
        command.upgrade(made, "head")
