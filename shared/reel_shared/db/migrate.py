"""Brings a database to the newest schema; called once at deployment, by `reel up`, `reel migrate`, and by tests."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from reel_shared.db.engine import engine
from reel_shared.errors import Conflict


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


def migrate() -> tuple[str | None, str | None]:
    """Upgrade the configured database to the newest revision; return the one it had, None when empty, and the new one.

    Raises:
        Conflict: a later release has been here, and its revision is unknown to this one.
    """
    made = config()
    with engine().execution_options(reel_write=True).connect() as connection:
        before = MigrationContext.configure(connection).get_current_revision()
        connection.rollback()  # else Alembic takes the transaction for its caller's and leaves the commit to it
        made.attributes["connection"] = connection
        try:
            command.upgrade(made, "head")
        except CommandError as error:
            raise Conflict(
                f"The database is at revision {before}, which this release does not know: a later one made it."
            ) from error
        return before, MigrationContext.configure(connection).get_current_revision()
