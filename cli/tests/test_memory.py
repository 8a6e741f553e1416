"""Memory of a family of processes: what a grandchild takes is in the sum."""

from __future__ import annotations

import subprocess
import sys

from reelsight.platform.memory import family_bytes

GRANDCHILD = "import sys; held = bytearray(100 * 2**20); print('ready', flush=True); sys.stdin.read()"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {GRANDCHILD!r}])"


def test_a_grandchilds_memory_is_counted() -> None:
    # Not as growth of this process's family: what this one and its other children let go meanwhile would count.
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        taken = family_bytes(child.pid)
        assert 100 * 2**20 < taken < 200 * 2**20
        assert family_bytes() > taken
        child.communicate(b"")
