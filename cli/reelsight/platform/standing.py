"""Database and storage of a data folder for a while, whether its platform runs or not; for backups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reel_shared import settings as settings_module
from reel_shared.db.engine import dispose
from reel_shared.embedded.seaweed import Seaweed
from reel_shared.embedded.server import ServerFailed
from reel_shared.storage import storage

DATABASE = "reelsight.sqlite"


@contextmanager
def standing(data: Path, *, fresh: bool = False) -> Iterator[None]:
    """Make the data folder's database and storage those of the settings; start the storage unless it runs.

    Args:
        fresh: the folder has no database yet and nobody runs on it.

    Raises:
        FileNotFoundError: there is no platform's data.
        FileExistsError: there is, and ``fresh`` asks for none.
        ServerFailed: the storage does not start, or somebody runs on a folder that is to be fresh.
    """
    data = data.resolve()
    database = data / DATABASE
    if fresh and database.exists():
        raise FileExistsError(f"{data} holds a platform's data already; name a new folder with --data.")
    if not fresh and not database.exists():
        raise FileNotFoundError(f"{data} holds no platform's data; name its folder with --data.")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        s3 = Seaweed(data / "s3")
        try:
            stack.enter_context(s3)
        except ServerFailed:
            if fresh or not s3.recall():
                raise
        access = s3.settings()
        os.environ.update(
            {
                "REEL_DATABASE__URL": f"sqlite:///{database}",
                "REEL_S3__ENDPOINT": access.endpoint,
                "REEL_S3__ACCESS_KEY": access.access_key,
                "REEL_S3__SECRET_KEY": access.secret_key.get_secret_value(),
                "REEL_S3__BUCKET": access.bucket,
            }
        )
        settings_module.settings.cache_clear()
        storage.cache_clear()
        dispose()
        stack.callback(dispose)
        yield
