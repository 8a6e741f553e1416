"""The list of jobs over 100,000 of them: how long the server takes for a page of it, by what it is narrowed to.

    python benchmarks/jobs_page.py [--jobs 100000] [--rounds 10] [--postgresql] [--check]

The application answers in this process, on SQLite (or PostgreSQL). `--check` fails where the 95th percentile of any
address is above 200 ms.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
import structlog
from embedded_stack import Surroundings
from starlette.testclient import TestClient

from reel_shared.contracts import EXPLAIN_PICTURE, EXTRACT_FRAMES, PREDICT_PICTURES, TRAIN_MODEL
from reel_shared.db.engine import engine, transaction
from reel_shared.db.models import Job, utcnow
from reel_shared.ids import new_id
from reel_shared.settings import settings
from reel_shared.web.app import create_app
from reel_web.pages import router

GOAL_MS = 200.0
ADDRESSES = (
    "/jobs",
    "/jobs?state=failed",
    "/jobs?state=succeeded&queue=inference",
    "/jobs?kind=explainer.explain_picture&queue=explainer",
    "/trainings",
)


def fill(count: int) -> None:
    """Write jobs as months of use leave them: one in eight a part, one in fifty failed, results of two kilobytes."""
    rng, now = random.Random(1), utcnow()
    kinds = [EXPLAIN_PICTURE] * 60 + [PREDICT_PICTURES] * 30 + [EXTRACT_FRAMES] * 9 + [TRAIN_MODEL]
    request = {
        "dataset_version_id": "dsv_1",
        "recipe": "article",
        "seed": 42,
        "model": "active",
        "key": "uploads/a.jpg",
    }
    rows, parent = [], None
    for number in range(count):
        kind = rng.choice(kinds)
        part = number % 8 if number % 8 and parent else None
        row = {
            "id": new_id("job"),
            "kind": kind.name,
            "queue": kind.queue,
            "state": "failed" if rng.random() < 0.02 else "succeeded",
            "attempt": 1,
            "max_attempts": 3,
            "request": request,
            "result": {"text": "x" * 2000},
            "owner": "demo" if rng.random() < 0.5 else "key_1",
            "labels": {},
            "parent_id": parent if part else None,
            "part": part,
            "created_at": now - timedelta(seconds=60 * (count - number)),
            "started_at": now - timedelta(seconds=60 * (count - number) - 1),
            "finished_at": now - timedelta(seconds=60 * (count - number) - 9),
        }
        parent = parent if part else str(row["id"])
        rows.append(row)
    for row in rows[-30:]:
        row |= {"state": "queued", "part": None, "parent_id": None}
    with transaction() as session:
        for start in range(0, count, 2000):
            session.execute(sa.insert(Job), rows[start : start + 2000])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--check", action="store_true")
    wishes = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with (
        tempfile.TemporaryDirectory(prefix="reel-jobs-page-") as folder,
        Surroundings(Path(folder), postgresql=wishes.postgresql) as around,
    ):
        os.environ["REEL_WEB__SECRET"] = "a secret of the benchmark"
        settings.cache_clear()
        fill(wishes.jobs)
        with engine().connect() as connection:
            connection.execute(sa.text("ANALYZE"))
        slow = measure(wishes.rounds, around.key)
    if wishes.check and slow:
        sys.exit(f"slower than {GOAL_MS:g} ms: {', '.join(slow)}")


def measure(rounds: int, token: str) -> list[str]:
    slow = []
    with TestClient(create_app("pages", [router]), headers={"Accept": "text/html"}) as client:
        client.post("/sign-in", data={"key": token})
        print(f"{'address':58} {'median':>9} {'95 %':>9}")
        for address in ADDRESSES:
            client.get(address)
            taken = []
            for _ in range(rounds):
                started = time.perf_counter()
                assert client.get(address).status_code == 200
                taken.append(1000 * (time.perf_counter() - started))
            high = statistics.quantiles(taken, n=20)[-1]
            print(f"{address:58} {statistics.median(taken):6.1f} ms {high:6.1f} ms")
            if high > GOAL_MS:
                slow.append(address)
    return slow


if __name__ == "__main__":
    main()
