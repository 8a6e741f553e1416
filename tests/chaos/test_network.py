"""The network between two parts that live is cut, slow or silent, or the storage is full: nothing lost or doubled."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from chaos_proxy import Proxy
from chaos_stage import Stage

from reel_shared import jobs
from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest, MakeVariantsResult
from reel_shared.db.engine import transaction
from reel_shared.db.models import Job, JobEvent
from reel_shared.errors import StorageUnavailable
from reel_shared.object_storage import Storage
from reel_shared.runner import Context, run_job
from reel_shared.settings import S3
from reel_shared.storage import storage
from reel_shared.testing.stack import Reel

pytestmark = [pytest.mark.chaos, pytest.mark.servers]
SEEDS = [int(seed) for seed in os.environ.get("REEL_CHAOS_SEEDS", "1").split()]
FAULTS = int(os.environ.get("REEL_CHAOS_FAULTS", "12"))
JOBS = 60


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_the_network_lose_and_double_no_job(stage: Stage, postgres_url: str, seed: int) -> None:
    """Workers and reaper reach Redis and PostgreSQL through proxies that delay, swallow and cut, by a seed."""
    stage.reel.configure(database__url=postgres_url)
    redis_url = stage.reel.settings.redis.url.get_secret_value()
    dice = random.Random(seed)
    accepted: list[str] = []
    with Proxy.before(redis_url) as queue, Proxy.before(postgres_url) as database:
        through = {"REEL_REDIS__URL": queue.url(redis_url), "REEL_DATABASE__URL": database.url(postgres_url)}
        for _ in range(2):
            stage.worker(**through)
        stage.start("reel_shared.outbox", **through)
        submitting = threading.Thread(target=submit_slowly, args=(stage, accepted))
        submitting.start()
        told: dict[str, int] = {}
        for _ in range(FAULTS):
            edge, fault = dice.choice([queue, database]), dice.choice(["delay", "silence", "cut", "refusal"])
            told[fault] = told.get(fault, 0) + 1
            if fault == "delay":
                edge.delay_seconds = dice.uniform(0.05, 0.3)
            elif fault == "silence":
                edge.silent = True
            else:
                edge.refusing = fault == "refusal"
                edge.cut()
            time.sleep(dice.uniform(0.2, 1.0))
            edge.heal()
            time.sleep(dice.uniform(0, 0.2))
        submitting.join()
        stage.until_ended(seconds=90)
        cuts, held = queue.cuts + database.cuts, queue.held + database.held
    stage.check()
    # what a client was told is accepted, and what the database says became of it
    ends = stage.read(
        lambda session: session.scalars(sa.select(JobEvent.job_id).where(JobEvent.terminal.is_(True))).all()
    )
    assert sorted(ends) == sorted(accepted)
    assert len(accepted) == JOBS
    assert stage.states()["succeeded"] >= JOBS * 0.9
    assert cuts, "no connection was cut: this run proves nothing"
    assert held, "nothing was held up: this run proves nothing"
    print(f"seed {seed}: {JOBS} jobs, faults {told}, {cuts} connections cut, {stage.states()}")  # noqa: T201


def submit_slowly(stage: Stage, accepted: list[str]) -> None:
    for _ in range(JOBS // 10):
        accepted += stage.submit("work", seconds=0.15, jobs_wanted=10)
        time.sleep(FAULTS * 0.6 / (JOBS // 10))


# --- storage ------------------------------------------------------------------------------------------------


@pytest.fixture
def edge(reel: Reel) -> Iterator[Proxy]:
    """The settings' storage is reached through it."""
    host, _, port = reel.settings.s3.endpoint.partition(":")
    with Proxy(host, int(port)) as made:
        yield made


def through(edge: Proxy, reel: Reel, *, patience: float) -> Storage:
    s3: S3 = reel.settings.s3.model_copy(update={"endpoint": edge.endpoint})
    return Storage(s3, patience_seconds=patience)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(random.Random(1).randbytes(20 * 2**20))  # two parts
    return path


def test_a_transfer_that_is_cut_in_its_middle_is_made_again_and_whole(
    edge: Proxy, reel: Reel, film: Path, tmp_path: Path
) -> None:
    patient = through(edge, reel, patience=20)
    edge.cut_after = 10 * 2**20
    stored = patient.put_file("uploads", film, "video/mp4", ".mp4")
    assert edge.cuts == 2, "both sides of the connection"
    assert stored.sha256 == hashlib.sha256(film.read_bytes()).hexdigest()
    edge.cut_after = 10 * 2**20
    copy = patient.get_file(stored.key, tmp_path / "copy.mp4")
    assert edge.cuts == 4
    assert copy.read_bytes() == film.read_bytes()
    assert [path.name for path in tmp_path.glob(".*part")] == []


def test_a_transfer_whose_end_never_comes_leaves_nothing_that_is_believed(
    edge: Proxy, reel: Reel, film: Path
) -> None:
    hasty = through(edge, reel, patience=1)
    stop = threading.Event()

    def keep_cutting() -> None:
        while not stop.wait(0.01):
            edge.cut_after = 2**20

    cutting = threading.Thread(target=keep_cutting)
    cutting.start()
    try:
        with pytest.raises(StorageUnavailable):
            hasty.put_file("uploads", film, "video/mp4", ".mp4")
    finally:
        stop.set()
        cutting.join()
    assert edge.cuts >= 2
    assert list(reel.storage.list("uploads/")) == []


def test_a_slow_network_changes_nothing_but_the_time(edge: Proxy, reel: Reel) -> None:
    edge.delay_seconds = 0.1
    slow = through(edge, reel, patience=5)
    stored = slow.put_bytes("pictures", b"a picture", "image/png", ".png")
    assert slow.get_bytes(stored.key, max_bytes=100) == b"a picture"
    assert edge.held


def test_a_storage_that_is_full_fails_no_job_and_stores_nothing_in_half(edge: Proxy, reel: Reel) -> None:
    """507 as a full MinIO answers it. The job is tried again later; when there is room, it ends as if nothing was."""
    reel.configure(s3__endpoint=edge.endpoint, s3__patience_seconds=1, jobs__retry_base_seconds=0.01)
    seen: list[int] = []

    def store(context: Context, _request: MakeVariantsRequest) -> jobs.Outcome:
        seen.append(context.lease.attempt)
        storage().put_bytes("variants", b"a variant", "image/png", ".png")
        return jobs.Outcome(MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={}))

    with transaction() as session:
        job_id = jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest()).id
    edge.full = True
    run_job(MAKE_VARIANTS, store, job_id)
    assert edge.refusals >= 1
    assert list(storage().list("variants/")) == [], "what is there can still be read"
    assert state_of(job_id) == "running", "between two attempts"
    with pytest.raises(StorageUnavailable, match="full"):
        storage().put_bytes("variants", b"another", "image/png", ".png")
    edge.full = False
    deadline = time.monotonic() + 20
    while state_of(job_id) == "running" and time.monotonic() < deadline:
        run_job(MAKE_VARIANTS, store, job_id)
        time.sleep(0.05)
    assert state_of(job_id) == "succeeded"
    assert seen == [1, 2]
    assert len(list(storage().list("variants/"))) == 1
    with transaction() as session:
        ends = session.scalar(sa.select(sa.func.count()).where(JobEvent.job_id == job_id, JobEvent.terminal))
    assert ends == 1


def state_of(job_id: str) -> str:
    with transaction() as session:
        return session.get_one(Job, job_id).state
