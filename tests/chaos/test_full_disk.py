"""A disk that is really full, below storage and below the database: nothing lost, nothing half, and on with room."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from chaos_small_disk import fill, on_small_disk, require_small_disks

from reel_shared import jobs
from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest, MakeVariantsResult
from reel_shared.db.engine import transaction
from reel_shared.db.models import Job, JobEvent
from reel_shared.embedded import Seaweed
from reel_shared.errors import StorageUnavailable
from reel_shared.runner import Context, run_job
from reel_shared.storage import storage
from reel_shared.testing.stack import Reel

pytestmark = [pytest.mark.chaos, pytest.mark.servers]
PROGRAM = Path(__file__).with_name("chaos_full_database.py")


def test_a_database_whose_disk_is_full_says_so_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    require_small_disks(disk)
    done = subprocess.run(
        on_small_disk(disk, "12m", [sys.executable, str(PROGRAM), str(disk)]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"job": "succeeded", "integrity": "ok"}


class SmallStorage(Seaweed):
    """Its data lie on a small disk, which the test reaches by way of the process."""

    def _command(self) -> list[str]:
        return on_small_disk(self.directory / "data", "96m", super()._command())

    @property
    def disk(self) -> Path:
        return Path(f"/proc/{self.pid}/root{self.directory}/data")


@pytest.fixture
def small(servers_dir: Path) -> Iterator[SmallStorage]:
    require_small_disks(servers_dir / "tried")
    with SmallStorage(servers_dir / "small") as server:
        yield server


def test_a_storage_whose_disk_is_full_believes_nothing_half_and_goes_on_with_room(
    small: SmallStorage, reel_database: Reel
) -> None:
    bucket = small.settings()
    reel_database.configure(
        s3__endpoint=small.endpoint,
        s3__access_key=small.access_key,
        s3__secret_key=small.secret_key,
        s3__bucket=bucket.bucket,
        s3__patience_seconds=2,
        jobs__retry_base_seconds=0.01,
    )
    storage().ensure_bucket()
    before = storage().put_bytes("pictures", b"stored while there was room", "image/png", ".png")
    picture = random.Random(1).randbytes(3 * 2**20)
    seen: list[int] = []

    def store(context: Context, _request: MakeVariantsRequest) -> jobs.Outcome:
        seen.append(context.lease.attempt)
        storage().put_bytes("variants", picture, "image/png", ".png")
        return jobs.Outcome(MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={}))

    with transaction() as session:
        job_id = jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest()).id
    filler = fill(small.disk)
    run_job(MAKE_VARIANTS, store, job_id)
    assert state_of(job_id) == "running", "between two attempts"
    with pytest.raises(StorageUnavailable):
        storage().put_bytes("variants", picture, "image/png", ".png")
    assert list(storage().list("variants/")) == [], "half an object is shown"
    assert storage().get_bytes(before.key, max_bytes=100) == b"stored while there was room"
    filler.unlink()
    deadline = time.monotonic() + 60
    # A server needs seconds to notice room, and volume by volume; a job's attempts lie further apart than this test's.
    chance = random.Random(2)
    while not all(stores(chance.randbytes(2**20)) for _ in range(5)) and time.monotonic() < deadline:
        time.sleep(0.2)
    while state_of(job_id) == "running" and time.monotonic() < deadline:
        run_job(MAKE_VARIANTS, store, job_id)
        time.sleep(0.1)
    assert state_of(job_id) == "succeeded"
    (stored,) = storage().list("variants/")
    assert storage().get_bytes(stored.key, max_bytes=2**23) == picture
    with transaction() as session:
        ends = session.scalar(sa.select(sa.func.count()).where(JobEvent.job_id == job_id, JobEvent.terminal))
    assert ends == 1
    assert len(seen) >= 2


def stores(content: bytes) -> bool:
    try:
        storage().put_bytes("pictures", content, "image/png", ".png")
    except StorageUnavailable:
        return False
    return True


def state_of(job_id: str) -> str:
    with transaction() as session:
        return session.get_one(Job, job_id).state
