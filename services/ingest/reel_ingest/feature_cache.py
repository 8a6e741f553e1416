"""Features by content, kept in storage for each dataset, so that a second ranking reads no picture again.

Called by rank_subjects. A cache and no more: one that is missing, damaged or of another version is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import structlog

from reel_ingest import subject_features
from reel_ingest.subject_features import Features
from reel_shared.errors import Corrupt, NotFound
from reel_shared.storage import storage

log = structlog.get_logger(__name__)


def load(dataset: str, scratch: Path) -> dict[str, Features]:
    """Return what is known: the SHA-256 of a picture's file -> its features."""
    try:
        path = storage().get_file(_key(dataset), scratch / "features.npz")
    except NotFound:
        return {}
    except Corrupt as error:
        return _unreadable(dataset, error)
    try:
        with np.load(path, allow_pickle=False) as held:
            names, shapes, colours = held["sha256"], held["shapes"], held["colours"]
        return {str(name): Features(shapes[row], colours[row]) for row, name in enumerate(names)}
    except Exception as error:  # reading a damaged archive raises nearly anything
        return _unreadable(dataset, error)


def _unreadable(dataset: str, error: Exception) -> dict[str, Features]:
    log.warning("features.unreadable", dataset=dataset, reason=str(error))
    return {}


def store(dataset: str, scratch: Path, sha256s: Iterable[str], features: Features) -> None:
    """Keep these and no others: what has left the dataset leaves the cache too."""
    path = scratch / "features-new.npz"
    np.savez_compressed(
        path, sha256=np.array(list(sha256s)), shapes=features.shapes, colours=features.colours
    )
    storage().put_at(_key(dataset), path, "application/octet-stream")


def _key(dataset: str) -> str:
    return f"subjects/{dataset}/features-{subject_features.VERSION}.npz"
