"""A host's clock that a test sets, by libfaketime: what it says to a process is moved, what never steps is not.

https://github.com/wolfcw/libfaketime. Several processes with the same clock are those of one host.
"""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

import pytest


def _library() -> Path:
    found = importlib.util.find_spec("libfaketime")  # importing it would look for its own variables
    if found is None or found.origin is None or platform.machine() != "x86_64":
        pytest.skip("libfaketime's wheel holds a library for x86_64 alone")
    return Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"


class HostClock:
    """``env`` gives a process this clock; ``ahead`` is by how many seconds it is off now."""

    def __init__(self, file: Path, ahead: float = 0.0) -> None:
        self._file = file
        self.env = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.step_to(ahead)

    def step_to(self, ahead: float) -> None:
        """Set the clock, for the processes that run too."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+f}\n")
        new.replace(self._file)  # never half of it
        self.ahead = ahead


def forget(pid: int) -> None:
    """Remove what libfaketime leaves of a process that was killed."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        Path("/dev/shm", name).unlink(missing_ok=True)
