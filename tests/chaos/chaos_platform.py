"""The real platform for fault tests: API, reaper and every service's worker, on servers the test may take away."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import psutil
import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.client import Client
from reel_shared.contracts import JsonObject
from reel_shared.db.engine import transact
from reel_shared.db.models import Job, JobEvent
from reel_shared.embedded import Seaweed
from reel_shared.jobs import TERMINAL, State
from reel_shared.security import create_key
from reel_shared.testing.stack import Reel
from reelsight.platform.stack import programs
from reelsight.platform.supervisor import Program, Supervisor

T = TypeVar("T")
RowT = TypeVar("RowT")


class Platform:
    """Everything ``reel up`` runs, under its own supervisor."""

    def __init__(self, reel: Reel, s3: Seaweed, supervisor: Supervisor, client: Client) -> None:
        self.reel, self.s3, self.client = reel, s3, client
        self._supervisor = supervisor

    def read(self, query: Callable[[Session], T]) -> T:
        return transact(query)

    def count(self, table: Any, **wanted: Any) -> int:
        query = sa.select(sa.func.count()).select_from(table).filter_by(**wanted)
        return self.read(lambda session: session.scalar(query)) or 0

    def rows(self, table: type[RowT], **wanted: Any) -> list[RowT]:
        query = sa.select(table).filter_by(**wanted)
        return self.read(lambda session: list(session.scalars(query)))

    def events(self, job_id: str) -> list[JobEvent]:
        query = sa.select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)
        return self.read(lambda session: list(session.scalars(query)))

    def job(self, job_id: str) -> Job:
        return self.read(lambda session: session.get_one(Job, job_id))

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.005)

    def until_ended(self, *job_ids: str, seconds: float = 500) -> list[Job]:
        self.until(
            lambda: all(self.job(job_id).state in TERMINAL for job_id in job_ids), "the jobs end", seconds
        )
        return [self.job(job_id) for job_id in job_ids]

    def kill_in_the_middle(self, submit: Callable[[], JsonObject], when: Callable[[Job], Any]) -> str:
        """Submit a job, kill its worker with SIGKILL once ``when`` says so, and return the job's id."""
        job_id: str = submit()["id"]
        self.until(lambda: self.job(job_id).state != State.QUEUED, "the job is claimed")
        self.until(lambda: when(self.job(job_id)), "the job is in its middle")
        with self.storage_frozen():  # so that the job cannot end between the look and the kill
            self.kill_worker_of(job_id)
        return job_id

    def kill_at_the_end(self, submit: Callable[[], JsonObject]) -> str:
        """The same for a job too quick to meet: it stands before storage with its result when it is killed."""
        with self.storage_frozen():
            job_id: str = submit()["id"]
            self.until(lambda: self.job(job_id).state == State.RUNNING, "the job is claimed")
            time.sleep(0.5)
            self.kill_worker_of(job_id)
        return job_id

    def kill_worker_of(self, job_id: str) -> None:
        """Kill the worker that runs the job, with SIGKILL; storage must be frozen, so that it still runs it."""
        job = self.job(job_id)
        assert job.state == State.RUNNING, f"the job ended too early: {job.state} {job.error}"
        pid = int(job.worker.rpartition(":")[2])
        workers = [each.process for each in self._supervisor.programs if each.process is not None]
        worker = next(each for each in workers if each.pid == pid)
        kin = psutil.Process(pid).children()
        worker.kill()
        assert self.job(job_id).state == State.RUNNING
        self.until(lambda: not any(each.is_running() for each in kin), "its children end too", 10)

    @contextmanager
    def storage_frozen(self) -> Iterator[None]:
        stopped = self.s3.pid
        os.kill(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(stopped, signal.SIGCONT)

    def check_ended_once(self, job_id: str, *, attempts: int) -> Job:
        told = self.events(job_id)
        assert [event.terminal for event in told].count(True) == 1
        assert told[-1].terminal
        starts = [
            event.data["attempt"] for event in told if "attempt" in event.data and "worker" not in event.data
        ]
        assert starts == list(range(1, attempts + 1))
        job = self.job(job_id)
        assert job.state == State.SUCCEEDED, job.error
        return job


@contextmanager
def platform(reel: Reel, s3: Seaweed, *, port: int) -> Iterator[Platform]:
    """Start the platform on the servers that the settings name, and keep its processes alive."""
    own = programs(s3)
    named = {each.name: each for each in own}
    more = [
        Program(f"{queue}-worker-2", [*named[f"{queue}-worker"].command], env=dict(s3.access(queue)))
        for queue in ("ingest", "inference")
    ]
    supervisor = Supervisor([*own, *more], env=reel.env, logs=reel.data_dir / "logs", say=lambda _: None)
    _, token = transact(lambda session: create_key(session, "chaos", ["read", "submit", "admin"]))
    closing = threading.Event()

    def watch() -> None:
        while not closing.wait(0.2):
            supervisor.watch()

    watcher = threading.Thread(target=watch)
    supervisor.start()
    watcher.start()
    try:
        with Client(f"http://127.0.0.1:{port}", token) as client:
            made = Platform(reel, s3, supervisor, client)
            made.until(lambda: answers(client.base_url), "the API answers")
            yield made
    finally:
        closing.set()
        watcher.join()
        supervisor.stop()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
