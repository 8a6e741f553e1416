"""This process's object storage. APIs, tasks and tests call ``storage()``; ``object_storage`` does the work."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from reel_shared.settings import settings

if TYPE_CHECKING:
    from reel_shared.object_storage import Storage

HASTY_SECONDS = 2.0


@cache
def storage() -> Storage:
    """Return this process's storage, as the settings name it."""
    # The S3 client takes a fifth of an API's start, and many requests need no object at all.
    from reel_shared.object_storage import Storage

    return Storage(settings().s3)


@cache
def hasty_storage() -> Storage:
    """Return storage for a question that a request waits for: a server that is away is given two seconds."""
    from reel_shared.object_storage import Storage

    return Storage(settings().s3, patience_seconds=HASTY_SECONDS)


# A forked worker must not share its parent's sockets.
for cached in (storage, hasty_storage):
    os.register_at_fork(after_in_child=cached.cache_clear)
