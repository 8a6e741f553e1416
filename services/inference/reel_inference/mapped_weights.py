"""Keeps the weights of an OpenVINO model in a file that is mapped, not in the process's own memory.

Called by ``openvino_graph``. A compiled model holds its weights in the order that the CPU wants them, and for good also
the original ones, which it reads no more once it is warm: a hundred megabytes of a ResNet-50.
"""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

import openvino

MAPS = Path("/proc/self/maps")
DONTNEED = 4
"""Linux's MADV_DONTNEED."""


class MappedWeights:
    """A copy of a graph on the disk, unlinked at once; it is gone with the last model that maps it."""

    def __init__(self, core: openvino.Core, path: Path) -> None:
        """Read the graph in ``path``. Raises RuntimeError when it is none."""
        # Beside the graph, for a temporary folder may itself lie in memory.
        with tempfile.TemporaryDirectory(prefix=".weights-", dir=path.parent) as folder:
            file = Path(folder, "graph.xml")
            openvino.save_model(core.read_model(path), file, compress_to_fp16=False)
            self.model = core.read_model(file)
            self._name = str(file.with_suffix(".bin"))

    def let_go(self) -> None:
        """Give the mapped pages back, and what the allocator keeps of what loading needed.

        Whoever reads the pages after all gets them from the file again. Where this is not Linux with glibc, the
        system takes them when it needs them.
        """
        libc = ctypes.CDLL(None)
        if not MAPS.exists() or not hasattr(libc, "malloc_trim"):
            return
        libc.malloc_trim(0)
        for line in MAPS.read_text().splitlines():
            if self._name in line:
                first, _, last = line.split()[0].partition("-")
                start, size = int(first, 16), int(last, 16) - int(first, 16)
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), DONTNEED)
