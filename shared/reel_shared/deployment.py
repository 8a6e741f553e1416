"""Prepares what every process of a release finds when it starts: schema, bucket, first API key. May run again.

``python -m reel_shared.deployment``, once before a release; an image's command ``setup``. `reel up` does it itself.
"""

from __future__ import annotations

import structlog

from reel_shared.db.engine import transaction
from reel_shared.db.migrate import migrate
from reel_shared.security import adopt_key
from reel_shared.settings import settings
from reel_shared.storage import storage
from reel_shared.telemetry import configure_logging

log = structlog.get_logger(__name__)


def prepare() -> None:
    """Bring the schema up to date, make the bucket and its users, make `REEL_WEB__FIRST_KEY` known if one is set.

    Raises:
        Unavailable: database or storage did not answer in time.
        Unprocessable: the first key is not one.
    """
    migrate()
    log.info("setup.schema_ready")
    storage().ensure_bucket()
    log.info("setup.bucket_ready", bucket=settings().s3.bucket)
    if settings().s3.users and settings().s3.make_users:
        # the admin's client takes time to import, and only a first start needs it
        from reel_shared.bucket_users import make_users

        make_users(settings().s3)
    token = settings().web.first_key.get_secret_value()
    if token:
        with transaction() as session:
            added = adopt_key(session, token, "first key", ["read", "submit", "admin"])
        log.info("setup.key_ready", added=added)


if __name__ == "__main__":
    configure_logging()
    prepare()
