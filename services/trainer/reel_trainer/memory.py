"""How much memory there is, how much this process takes, and whether an error means that it was too little."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

import torch

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
_SAYING = (
    # of torch's CPU allocator, oneDNN, cuDNN and cuBLAS: they raise a plain RuntimeError
    *("can't allocate memory", "Cannot allocate memory", "bad_alloc", "could not create a memory object"),
    *("could not create a primitive", "could not execute a primitive"),  # oneDNN's, whatever it lacked
    *("CUDA out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, on a GPU or a CPU, says that memory was too little."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAYING)


def release() -> None:
    """Give memory that is not used back to the system, or to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def resident() -> int:
    """Return how much memory this process holds, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def in_use(device: torch.device) -> dict[str, int]:
    """Return bytes: ``memory`` of this process now, and on a GPU ``gpu_memory``, the most that tensors took so far."""
    found = {"memory": resident()}
    if device.type == "cuda":
        found["gpu_memory"] = torch.cuda.max_memory_allocated(device)
    return found


def available(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> int:
    """Return how many bytes more may be taken: by the machine's account, or by the cgroup's (v2, v1) if it is less."""
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    places = (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    for folder, limit, usage, cache in places:
        try:
            bound, used = ((folder / name).read_text().strip() for name in (limit, usage))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue
        if bound != "max":
            # pages of files that nobody looks at are given up before anything is killed
            free = min(free, int(bound) - int(used) + int(stat.get(cache, 0)))
    return max(0, free)
