"""Memory of a family of processes: what a grandchild takes is in the sum."""

from __future__ import annotations

import subprocess
import sys

from reelsight.platform.memory import family_bytes

GRANDCHILD = "import sys; held = bytearray(100 * 2**20); print('ready', flush=True); sys.stdin.read()"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {GRANDCHILD!r}])"


def test_a_grandchilds_memory_is_counted() -> None:
    before = family_bytes()
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    grown = family_bytes() - before
    child.communicate(b"")
    assert 100 * 2**20 < grown < 200 * 2**20
