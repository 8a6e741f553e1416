"""A worker whose jobs behave as badly as their request says; started by the tests as a process of its own.

The request's ``collection_id`` (or ``query``) holds the behaviour as JSON: ``{"do": "work", "seconds": 3}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

from sqlalchemy.orm import Session

from reel_shared import contracts, worker
from reel_shared.db.models import Collection
from reel_shared.errors import BadRequest, Unavailable
from reel_shared.fan_out import Part, fan_out
from reel_shared.ids import new_id
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings

STEP_SECONDS = 0.05


@task(contracts.MAKE_VARIANTS)
def make_variants(context: Context, request: contracts.MakeVariantsRequest) -> Outcome:
    behave(context, request.collection_id)
    made = contracts.MakeVariantsResult(
        sources=os.getpid(), made={}, already=context.lease.attempt, skipped_low_contrast={}
    )
    return Outcome(made, row_of(context))


@task(contracts.COLLECT_PICTURES)
def collect_pictures(context: Context, request: contracts.CollectPicturesRequest) -> Outcome:
    refused = behave(context, request.query) or {}
    counts = contracts.Counts(seen=1, kept=1, refused=refused)
    made = contracts.CollectPicturesResult(collection_id='{"do": "work"}', provider="urls", counts=counts)
    return Outcome(made, row_of(context))


@task(contracts.EXTRACT_RANGE)
def extract_range(context: Context, request: contracts.ExtractRangeRequest) -> Outcome:
    """A part of what ``spread`` does: its plan is how long it takes, its count is its number."""
    note_start(context)
    work(context, request.plan["seconds"], total=10)
    nothing = contracts.StoredFile(key="ranges/none", media_type="text/plain", size=0, sha256="0" * 64)
    return Outcome(contracts.ExtractRangeResult(frames=nothing, count=request.number), row_of(context))


def behave(context: Context, behaviour: str | None) -> Any:
    wish: dict[str, Any] = json.loads(behaviour or '{"do": "work"}')
    note_start(context)
    return globals()[wish.pop("do")](context, **wish)


def work(context: Context, seconds: float = 0.0, total: int | None = None) -> None:
    """Work in steps, reporting and listening after each."""
    steps = round(seconds / STEP_SECONDS)
    for step in range(steps):
        time.sleep(STEP_SECONDS)
        done = step + 1 if total is None else (step + 1) * total // steps
        context.progress(done, total or steps, unit="steps")


def spread(context: Context, parts: int, seconds: float) -> dict[str, int]:
    """Have the work done in parts; returns what they answered, by their place."""
    film = contracts.ExtractFramesRequest(label="a", key="movies/a.mp4")
    requests = [
        contracts.ExtractRangeRequest(film=film, crop=(0, 0, 0, 0), plan={"seconds": seconds}, number=number)
        for number in range(parts)
    ]
    results = fan_out(
        context, contracts.EXTRACT_RANGE, extract_range, [Part(each, 10) for each in requests], unit="steps"
    )
    return {str(place): result.count for place, result in enumerate(results)}


def deaf(_context: Context, seconds: float) -> None:
    """Work without listening, and without a report."""
    time.sleep(seconds)


def die(context: Context, times: int = 1000) -> None:
    if context.lease.attempt <= times:
        os.kill(os.getpid(), signal.SIGKILL)


def refuse(_context: Context) -> None:
    raise BadRequest("This will never work.")


def stumble(context: Context, times: int = 1000) -> None:
    if context.lease.attempt <= times:
        raise Unavailable("A needed part is away.")


def note_start(context: Context) -> None:
    line = f"{context.job_id} {context.lease.attempt} {os.getpid()}\n"
    with (settings().data_dir / "starts").open("a") as file:
        file.write(line)


def row_of(context: Context) -> Any:
    """Return what writes the row by which a test sees a result written twice."""

    def write(session: Session) -> None:
        row = Collection(id=new_id("col"), dataset="chaos", label="a", provider="urls", job_id=context.job_id)
        session.add(row)

    return write


if __name__ == "__main__":
    worker.main(sys.argv[1])
