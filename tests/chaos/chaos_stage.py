"""The stage of a fault test: real workers and reapers as processes, jobs to give them, and the checker."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import redis
import sqlalchemy as sa
from chaos_processes import Actor

from reel_shared import contracts, jobs, outbox  # noqa: F401  its listener sends what is submitted here
from reel_shared.db.engine import transact
from reel_shared.db.models import Collection, Job, JobEvent
from reel_shared.embedded import Valkey
from reel_shared.jobs import TERMINAL
from reel_shared.testing.stack import Reel

T = TypeVar("T")
WORKER = Path(__file__).with_name("chaos_worker.py")


class Stage:
    def __init__(self, reel: Reel, valkey: Valkey) -> None:
        self.reel = reel
        self.valkey = valkey
        self.actors: list[Actor] = []
        self._numbers = count()

    # --- processes ----------------------------------------------------------------------------------------

    def worker(self, queue: str = "augment", *, ready: bool = True, **env: str) -> Actor:
        """Start a worker; with ``ready``, return when it listens to its queue."""
        actor = self.start(str(WORKER), queue, **env)
        if ready:
            self.until(lambda: " ready." in actor.log.read_text(), "the worker listens")
        return actor

    def busy(self) -> set[int]:
        """Return the process ids that have a job now."""
        query = sa.select(Job.worker).where(Job.lease_until.is_not(None))
        return {
            int(worker.rpartition(":")[2])
            for worker in self.read(lambda session: session.scalars(query).all())
        }

    def holder(self, job_id: str) -> Actor:
        """Return the process that runs the job."""
        pid = int(self.job(job_id).worker.rpartition(":")[2])
        return next(actor for actor in self.actors if actor.pid == pid)

    def reaper(self, **env: str) -> Actor:
        return self.start("reel_shared.outbox", **env)

    def start(self, program: str, *arguments: str, **env: str) -> Actor:
        """Start a script or a module as a process on this stage's database and queue."""
        log = self.reel.data_dir / f"{Path(program).stem}-{next(self._numbers)}.log"
        actor = Actor(program, list(arguments), env={**self.reel.env, **env}, log=log)
        self.actors.append(actor)
        return actor

    @contextmanager
    def kept_alive(self, *starts: Callable[[], Actor]) -> Iterator[list[Actor]]:
        """Start each process and, while the block runs, start it again whenever it has ended."""
        slots = [start() for start in starts]
        closing = threading.Event()

        def watch() -> None:
            while not closing.wait(0.05):
                for number, start in enumerate(starts):
                    if not slots[number].running:
                        slots[number] = start()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield slots
        finally:
            closing.set()
            thread.join()

    def close(self) -> None:
        for actor in self.actors:
            actor.kill()

    # --- jobs ---------------------------------------------------------------------------------------------

    def submit(self, do: str = "work", *, jobs_wanted: int = 1, **wish: Any) -> list[str]:
        """Submit jobs that behave so; see ``chaos_worker``."""
        request = contracts.MakeVariantsRequest(collection_id=json.dumps({"do": do, **wish}))
        return transact(
            lambda session: [
                jobs.submit(session, contracts.MAKE_VARIANTS, request).id for _ in range(jobs_wanted)
            ]
        )

    def submit_collect(self, do: str = "work", **wish: Any) -> list[str]:
        """Submit a job of another kind and queue, which another job follows."""
        request = contracts.CollectPicturesRequest(
            label="a", query=json.dumps({"do": do, **wish}), augment=do != "spread"
        )
        return transact(lambda session: [jobs.submit(session, contracts.COLLECT_PICTURES, request).id])

    def job(self, job_id: str) -> Job:
        return self.read(lambda session: jobs.get(session, job_id))

    def parts(self, job_id: str) -> list[Job]:
        query = sa.select(Job).where(Job.parent_id == job_id, Job.part.is_not(None)).order_by(Job.part)
        return self.read(lambda session: list(session.scalars(query)))

    def events(self, job_id: str) -> list[JobEvent]:
        query = sa.select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)
        return self.read(lambda session: list(session.scalars(query)))

    def states(self) -> dict[str, int]:
        query = sa.select(Job.state, sa.func.count()).group_by(Job.state)
        return self.read(lambda session: dict(session.execute(query).all()))

    def starts(self, job_id: str | None = None) -> list[int]:
        """Return the attempts that really began, as the job functions themselves wrote them down."""
        file = self.reel.data_dir / "starts"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [int(attempt) for started, attempt, _ in lines if job_id in (None, started)]

    def read(self, query: Callable[[Any], T]) -> T:
        return transact(query)

    def redis(self) -> Any:
        return redis.Redis.from_url(self.reel.settings.redis.url.get_secret_value())

    # --- waiting and checking -----------------------------------------------------------------------------

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}; {self.states()}\n{self.last_words()}")
            time.sleep(0.03)

    def until_running(self, job_id: str, attempt: int = 1, seconds: float = 30) -> None:
        self.until(lambda: attempt in self.starts(job_id), f"attempt {attempt} of {job_id} begins", seconds)

    def until_ended(self, *job_ids: str, seconds: float = 30) -> None:
        """Wait until these jobs, or all there are, have ended."""

        def ended() -> bool:
            if job_ids:
                return all(self.job(job_id).state in TERMINAL for job_id in job_ids)
            return set(self.states()) <= TERMINAL

        self.until(ended, "the jobs end", seconds)

    def check(self, expected: dict[str, int] | None = None) -> None:
        """Assert what must hold after any fault: each job ended once, said so last, and wrote its row once."""
        assert set(self.states()) <= TERMINAL, self.states()
        if expected is not None:
            assert self.states() == expected
        query = sa.select(JobEvent.job_id, JobEvent.terminal).order_by(JobEvent.id)
        told: dict[str, list[bool]] = {}
        for job_id, terminal in self.read(lambda session: session.execute(query).all()):
            told.setdefault(job_id, []).append(terminal)
        rows = Counter(self.read(lambda session: session.scalars(sa.select(Collection.job_id)).all()))
        for job in self.read(lambda session: session.scalars(sa.select(Job)).all()):
            assert told[job.id].count(True) == 1, f"{job.id} ended {told[job.id].count(True)} times"
            assert told[job.id][-1], f"{job.id} did something after its end"
            assert rows[job.id] == (job.state == "succeeded"), f"{job.id} wrote {rows[job.id]} rows"

    def last_words(self) -> str:
        logs = sorted(self.reel.data_dir.glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in logs[-4:])
