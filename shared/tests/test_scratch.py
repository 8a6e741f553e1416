"""Jobs' folders on disk: kept while their process lives, swept once it is gone."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from reel_shared.scratch import Scratch, sweep
from reel_shared.testing.stack import Reel

HOLD = """
import sys
from reel_shared.scratch import Scratch
held = Scratch("job_1")
(held.path / "movie").write_bytes(b"x")
print(held.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def kernel(reel_database: Reel) -> Reel:
    return reel_database


def test_a_folder_is_swept_when_its_process_was_killed_and_not_before(kernel: Reel) -> None:
    mine = Scratch("job_2")
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(
        command, env=kernel.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        left = other.stdout.readline().strip()
        assert sweep() == 0
        other.kill()
    assert sweep() == 1
    assert [str(path) for path in mine.path.parent.iterdir()] == [str(mine.path)] != [left]
    mine.remove()
    assert sweep() == 0


def test_jobs_of_one_name_have_folders_of_their_own() -> None:
    first, second = Scratch("job_1"), Scratch("job_1")
    assert first.path != second.path
    first.remove()
    assert not first.path.exists()
    assert second.path.exists()
    second.remove()


def test_no_new_folder_is_swept_before_it_is_locked() -> None:
    swept, closing = [], threading.Event()

    def keep_sweeping() -> None:
        while not closing.is_set():
            swept.append(sweep())

    thread = threading.Thread(target=keep_sweeping)
    thread.start()
    for _ in range(200):
        made = Scratch("job_1")
        assert made.path.exists()
        made.remove()
    closing.set()
    thread.join()
    assert len(swept) > 1
