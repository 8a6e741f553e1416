"""How busy a GPU is while something runs, as its driver says; called by ``training``."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import threading
from types import TracebackType
from typing import Self

EVERY_MS = 100


class GpuUse:
    """Asks ``nvidia-smi`` ten times a second for as long as the context lasts; without one it hears nothing."""

    def __init__(self) -> None:
        self._percent: list[float] = []
        self._marks: list[int] = []
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        program = shutil.which("nvidia-smi")
        if program is not None:
            asked = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"-lms={EVERY_MS}"]
            self._child = subprocess.Popen([program, *asked], stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._read, args=(self._child,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.terminate()
            self._child.wait()

    def _read(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip().isdigit():
                self._percent.append(float(line))

    def mark(self) -> None:
        """Remember this moment."""
        self._marks.append(len(self._percent))

    def between_marks(self) -> float | None:
        """Return the mean from the first mark to the last, percent of the time in which a kernel ran.

        None without a GPU.
        """
        part = self._percent[self._marks[0] : self._marks[-1]] if self._marks else []
        return round(statistics.fmean(part), 1) if part else None
