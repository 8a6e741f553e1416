"""One thread that beats for every job that runs in this process. Called by ``runner``.

A thread of each job's own costs an empty job a sixth of its time, to be started and waited for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)
IDLE_SECONDS = 60.0
"""The thread ends when there was no job for so long."""


@dataclass(slots=True, eq=False)
class _Job:
    id: str
    beat: Callable[[], None]
    every: float
    due: float


class Heartbeats:
    """Calls what ``kept`` is given, beside the work.

    It must end soon, since the others wait for it; what it raises is logged, and it is called again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: list[_Job] = []
        self._wakes: float | None = None
        """When the thread looks again by itself; none: there is no thread."""

    @contextmanager
    def kept(self, job_id: str, beat: Callable[[], None], every: float) -> Iterator[None]:
        """Call ``beat`` every so many seconds while the block lasts, for the first time when they have passed."""
        job = _Job(job_id, beat, every, time.monotonic() + every)
        with self._changed:
            self._jobs.append(job)
            if self._wakes is None:
                self._wakes = job.due
                threading.Thread(target=self._run, name="heartbeats", daemon=True).start()
            elif job.due < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._jobs.remove(job)

    def _run(self) -> None:
        idle_since = time.monotonic()
        while True:
            with self._changed:
                now = time.monotonic()
                if self._jobs:
                    idle_since = now
                elif now - idle_since >= IDLE_SECONDS:
                    self._wakes = None
                    return
                self._wakes = min((job.due for job in self._jobs), default=now + IDLE_SECONDS)
                self._changed.wait(max(0.0, self._wakes - now))
                now = time.monotonic()
                due = [job for job in self._jobs if job.due <= now]
            for job in due:
                if job in self._jobs:  # it may have ended while another was waited for
                    _beat(job)
                    job.due = time.monotonic() + job.every


def _beat(job: _Job) -> None:
    try:
        job.beat()
    except Exception:  # a thread that ended here would cost healthy jobs their leases
        log.exception("job.heartbeat_failed", job=job.id)


heartbeats = Heartbeats()


# The thread is not there in a child, and its jobs are not the child's.
os.register_at_fork(after_in_child=heartbeats.__init__)  # type: ignore[misc]
