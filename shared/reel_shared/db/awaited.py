"""Waits until the database has this release's schema: ``python -m reel_shared.db.awaited``.

Pods of a new release start with it, so that they may be brought in beside the migration that they need.
"""

from __future__ import annotations

import time

import structlog
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from reel_shared.db.engine import reading
from reel_shared.db.migrate import config
from reel_shared.errors import DatabaseUnavailable
from reel_shared.telemetry import configure_logging

log = structlog.get_logger(__name__)
LOOK_SECONDS = 1.0
TELL_SECONDS = 15.0


def is_there() -> bool:
    """Whether the schema is this release's, or that of a newer one, which this release does not know.

    Raises:
        DatabaseUnavailable: nobody can tell.
    """
    script = ScriptDirectory.from_config(config())
    with reading() as session:
        found = MigrationContext.configure(session.connection()).get_current_heads()
    known = {revision.revision for revision in script.walk_revisions()}
    return bool(found) and (set(found) == set(script.get_heads()) or not known.issuperset(found))


def wait() -> None:
    """Return when the schema is there, however long that takes."""
    told = 0.0
    while True:
        try:
            if is_there():
                return
            reason = "the database does not have this release's schema yet"
        except DatabaseUnavailable as error:
            reason = str(error)
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            log.info("schema.awaited", reason=reason)
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    configure_logging()
    wait()
