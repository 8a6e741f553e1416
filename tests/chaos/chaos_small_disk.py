"""A disk of a few megabytes, truly a file system of its own: a tmpfs that only a process of the test sees.

It is mounted in a user and a mount namespace, so that no right is needed; where the kernel allows none, tests skip.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size="$1",mode=0700 small "$2" && shift 2 && exec "$@"'
_NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount"]
_CHUNK = 64 * 1024


def on_small_disk(folder: Path, size: str, command: Sequence[str]) -> list[str]:
    """Return the command that runs ``command`` with a tmpfs of this size at ``folder``."""
    return [*_NAMESPACES, "sh", "-c", _MOUNT, "sh", size, str(folder), *command]


def require_small_disks(folder: Path) -> None:
    """Skip the test where no such disk can be mounted."""
    folder.mkdir(exist_ok=True)
    try:
        tried = subprocess.run(
            on_small_disk(folder, "1m", ["true"]), capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("unshare is missing; Debian's util-linux has it")
    if tried.returncode:
        pytest.skip(f"no tmpfs may be mounted in a namespace of one's own: {tried.stderr.strip()[:200]}")


def fill(folder: Path) -> Path:
    """Write a file until nothing more fits, and return it; with it, the room comes back."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (_CHUNK, 1):
            try:
                while file.write(os.urandom(size)) == size:
                    pass
            except OSError:
                continue
    return filler
