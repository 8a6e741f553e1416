"""How much memory a process and all its descendants take; sampled by the stack's watcher for the demo's report."""

from __future__ import annotations

from contextlib import suppress

import psutil


def family_bytes(root: int | None = None) -> int:
    """Return the proportional set size of ``root`` (this process unless said) and its descendants, in bytes.

    Pages that processes share are counted once. Processes that end meanwhile count as nothing.
    """
    total = 0
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(root)
        for process in [first, *first.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total
