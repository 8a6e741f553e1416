"""Results as lines of JSON, and those of a job's parts as one file. Called by job functions that fan out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from reel_shared.contracts import StoredFile
from reel_shared.storage import storage

if TYPE_CHECKING:  # with it comes Celery, which an API that serves such lines needs only when it sends a job
    from reel_shared.runner import Context

JSON_LINES = "application/x-ndjson"


def put(prefix: str, path: Path) -> StoredFile:
    """Store a file of lines under ``prefix``."""
    return storage().put_file(prefix, path, JSON_LINES, ".jsonl")


def join(context: Context, parts: Iterable[StoredFile]) -> Path:
    """Bring the parts' lines to ``context.scratch``, one part after the other, as one file.

    Raises:
        NotFound, Corrupt, StorageUnavailable: a part is not there, not as it was stored, or cannot be had now.
        Canceled, JobTimeout, LeaseLost: as ``Context.check`` does.
    """
    path, part_path = context.scratch / "results.jsonl", context.scratch / "part.jsonl"
    with path.open("wb") as whole:
        for part in parts:
            storage().get_file(part.key, part_path, max_bytes=part.size, sha256=part.sha256)
            whole.write(part_path.read_bytes())
            context.check()
    part_path.unlink(missing_ok=True)
    return path
