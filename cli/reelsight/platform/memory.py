"""How much memory a process and all its descendants take; sampled by the stack's watcher for the demo's report."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path


def family_bytes(root: int | None = None) -> int:
    """Return the proportional set size of ``root`` (this process unless said) and its descendants, in bytes.

    Pages that processes share are counted once. Processes that end meanwhile count as nothing.
    """
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children[parent].append(int(entry.name))
    total, waiting = 0, [os.getpid() if root is None else root]
    while waiting:
        process = waiting.pop()
        total += _proportional_bytes(process)
        waiting.extend(children[process])
    return total


def _proportional_bytes(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
