"""The film that this worker works on, kept between its jobs: ranges of one film download it once. Called by tasks."""

from __future__ import annotations

import atexit
import threading
from functools import cache
from pathlib import Path

from reel_shared.scratch import Scratch
from reel_shared.settings import settings
from reel_shared.storage import storage


class FilmCache:
    """Holds one film at a time in a folder of its own, gone with the process.

    One is enough: ranges of a film come one after another, and the disk must hold one film anyway.
    """

    def __init__(self) -> None:
        self._scratch: Scratch | None = None
        self._held: tuple[object, ...] | None = None
        self._lock = threading.Lock()

    def fetch(self, key: str) -> Path:
        """Return the film under ``key``, downloaded unless it is the one held; valid until another is asked for.

        Raises:
            NotFound, TooLarge, Corrupt, StorageUnavailable: as ``Storage.get_file``.
        """
        found = storage().stat(key)
        wanted = (found.key, found.size, found.sha256, found.modified)
        with self._lock:
            if self._scratch is None:
                self._scratch = Scratch("film")
                atexit.register(self.close)
            path = self._scratch.path / "movie"
            if wanted != self._held or not path.exists():
                self._held = None
                path.unlink(missing_ok=True)  # first, so that the disk never holds two
                storage().get_file(key, path, max_bytes=settings().limits.upload_bytes)
                self._held = wanted
            return path

    def close(self) -> None:
        """Remove the film."""
        with self._lock:
            if self._scratch is not None:
                atexit.unregister(self.close)
                self._scratch.remove()
            self._scratch = self._held = None


@cache
def films() -> FilmCache:
    """This process's cache."""
    return FilmCache()
