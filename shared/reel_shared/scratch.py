"""A running job's own folder on this machine's disk; what a killed worker left there, the next worker removes.

Each folder is locked by the process that uses it, and the kernel ends the lock with the process, however that goes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reel_shared.settings import settings


class Scratch:
    """A new, empty folder at ``path``, locked until ``remove``."""

    def __init__(self, name: str) -> None:
        with _alone() as root:
            self.path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
            self._lock = os.open(self.path, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep() -> int:
    """Remove the folders of processes that are gone; returns how many."""
    with _alone() as root:
        return sum(_remove_abandoned(folder) for folder in root.iterdir())


def _remove_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # its job has just ended
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(lock)


@contextmanager
def _alone() -> Iterator[Path]:
    """Hold the root: a folder that is made but not yet locked must not be swept."""
    root = settings().data_dir / "scratch"
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root
    finally:
        os.close(lock)
