"""The two workers of `jobs.py`: ours with a job that does nothing, and bare Celery with a task that does nothing.

Both write down when each of theirs was finished with: after the commit, and after the result is in Redis.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import task_postrun

bare = Celery(
    "jobs_worker", broker=os.environ.get("BENCH_BROKER", ""), backend=os.environ.get("BENCH_BROKER", "")
)


@bare.task(name="nothing")
def nothing(number: str) -> str:
    return number


@task_postrun.connect
def _note(args: Any = (), **_: Any) -> None:
    with Path(os.environ["BENCH_FINISHED"]).open("a") as file:
        file.write(f"{args[0]} {time.time()}\n")


def ours() -> None:
    from reel_shared import contracts, worker
    from reel_shared.jobs import Outcome
    from reel_shared.runner import Context, task

    @task(contracts.MAKE_VARIANTS)
    def make_variants(_context: Context, _request: contracts.MakeVariantsRequest) -> Outcome:
        return Outcome(contracts.MakeVariantsResult(sources=0, made={}, already=0, skipped_low_contrast={}))

    worker.main(contracts.MAKE_VARIANTS.queue)


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        ours()
    else:
        options = [
            "--pool=solo",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
        bare.worker_main(["--quiet", "worker", *options])
