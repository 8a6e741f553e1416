"""How much memory this process uses; called by the callbacks of a training."""

from __future__ import annotations

import resource
from pathlib import Path

import torch


def memory_used(device: torch.device) -> dict[str, int]:
    """Return bytes: ``memory``, resident now, and on a GPU ``gpu_memory``, the most that tensors took so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    found = {"memory": pages * resource.getpagesize()}
    if device.type == "cuda":
        found["gpu_memory"] = torch.cuda.max_memory_allocated(device)
    return found
