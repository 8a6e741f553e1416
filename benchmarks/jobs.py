"""Empty jobs: from submission to the end, and jobs a second, beside bare Celery on the same Redis in the same run.

    python benchmarks/jobs.py [--databases sqlite postgresql] [--rounds 5] [--quick] [--check] [--json FILE]

Ours goes through the API (HTTP, the job's row and its outbox row in one transaction), Redis, Celery, a claim with a
lease, and the end under its fencing token: every guarantee on. The floor is a task sent by Celery and its result in
Redis. Both have one solo worker, and a job counts as finished when its worker is done with it: committed, or its result
stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from embedded_stack import PYTHON, Child, Surroundings, end_on_sigterm
from jobs_worker import nothing
from load import Connection, request
from serving_rounds import Targets

from reel_shared import jobs as job_rows
from reel_shared.contracts import (
    MAKE_VARIANTS,
    MakeVariantsRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import Job, utcnow
from reel_shared.embedded.ports import free_port
from reel_shared.testing.registry import add_version

HERE = Path(__file__).parent
VERSION = "dsv_benchmark"
POLLERS = 500
POLLED_AGE = timedelta(minutes=10)
"""How long the polled jobs have been running: a training's age, of which `Retry-After` says 10 s."""


class Finished:
    """When the worker was done with what: a file that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def wait(self, names: set[str], seconds: float = 60.0) -> dict[str, float]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = dict(line.split() for line in self.path.read_text().splitlines() if line.count(" ") == 1)
            if names <= found.keys():
                return {name: float(found[name]) for name in names}
            time.sleep(0.05)
        raise RuntimeError(f"{len(names - found.keys())} of {len(names)} jobs did not end")


class Floor:
    name = "bare Celery"

    def __init__(self, here: Surroundings, logs: Path, kind: str) -> None:
        url = here.valkey.url_of(9)
        # an application of its own: one that is there already keeps its connections to the Redis of the run before
        self._celery = Celery("jobs", broker=url, backend=url)
        self.finished = Finished(logs / f"bare-{kind}.txt")
        env = here.env | {"BENCH_BROKER": url, "BENCH_FINISHED": str(self.finished.path)}
        self.child = Child([PYTHON, str(HERE / "jobs_worker.py"), "bare"], env=env, log=logs / "bare.log")
        self._number = 0

    async def submit(self) -> str:
        self._number += 1
        name = f"task{self._number}"
        self._celery.send_task(nothing.name, [name])
        return name


class Ours:
    def __init__(self, here: Surroundings, logs: Path, kind: str) -> None:
        self.name = f"Reelsight, {kind}"
        self.port = free_port()
        self.finished = Finished(logs / f"ours-{kind}.txt")
        env = here.env | {"REEL_WEB__PORT": str(self.port), "BENCH_FINISHED": str(self.finished.path)}
        env["REEL_WEB__PUBLIC_DEMO"] = "false"
        self.api = Child([PYTHON, "-m", "reelsight.platform.server"], env=env, log=logs / "api.log")
        self.api.wait_ready(f"http://127.0.0.1:{self.port}/readyz")
        self.child = Child([PYTHON, str(HERE / "jobs_worker.py"), "ours"], env=env, log=logs / "ours.log")
        self.headers = {"Authorization": f"Bearer {here.key}", "Content-Type": "application/json"}
        body = json.dumps({"dataset_version_id": VERSION}).encode()
        self.post = request("POST", "/v1/variants", f"127.0.0.1:{self.port}", self.headers, body)
        self._free: list[Connection] = []

    async def submit(self) -> str:
        connection = self._free.pop() if self._free else await Connection.open("127.0.0.1", self.port)
        answer = await connection.ask(self.post)
        self._free.append(connection)
        if answer.status != 202:
            raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
        name: str = json.loads(answer.body)["id"]
        return name

    def forget_connections(self) -> None:
        self._free = []

    def stop(self) -> None:
        self.child.stop()
        self.api.stop()


async def spaced(submit: Callable[[], Awaitable[str]], count: int, every: float) -> dict[str, float]:
    """Submit one at a time at a steady pace that leaves the worker idle between; return when each was sent."""
    sent = {}
    for _ in range(count):
        began = time.time()
        sent[await submit()] = began
        await asyncio.sleep(max(0.0, every - (time.time() - began)))
    return sent


async def flood(submit: Callable[[], Awaitable[str]], count: int, clients: int) -> dict[str, float]:
    """Submit so many as fast as the clients can."""
    left, sent = iter(range(count)), {}

    async def client() -> None:
        for _ in left:
            began = time.time()
            sent[await submit()] = began

    await asyncio.gather(*(client() for _ in range(clients)))
    return sent


def measure(side: Floor | Ours, *, count: int, flood_count: int) -> dict[str, Any]:
    """One round: waits in ms at a steady pace, then jobs a second from a flood."""
    sent = asyncio.run(spaced(side.submit, count, 0.05))
    ends = side.finished.wait(set(sent))
    waits = [1000 * (ends[name] - sent[name]) for name in sent]
    if isinstance(side, Ours):
        side.forget_connections()
    rate = throughput(side, flood_count)
    return {"waits": waits, "rate": rate}


def throughput(side: Floor | Ours, count: int) -> float:
    sent = asyncio.run(flood(side.submit, count, 8 if isinstance(side, Ours) else 1))
    ends = side.finished.wait(set(sent))
    if isinstance(side, Ours):
        side.forget_connections()
    return count / (max(ends.values()) - min(sent.values()))


class Pollers:
    """So many clients, each asking for a running job of its own when `Retry-After` says so, with its ETag."""

    def __init__(self, ours: Ours, job_ids: list[str], logs: Path) -> None:
        env_free = [
            PYTHON,
            str(HERE / "jobs_pollers.py"),
            str(ours.port),
            ours.headers["Authorization"],
            *job_ids,
        ]
        self.child = Child(env_free, env={"PATH": "/usr/bin:/bin"}, log=logs / "pollers.log")
        time.sleep(3)

    def stop(self) -> str:
        tail = self.child.tail()
        self.child.stop()
        return tail


def running_jobs(count: int) -> list[str]:
    """Rows of jobs that a worker holds, and has held for a while."""
    with transaction() as session:
        made = [
            job_rows.submit(session, MAKE_VARIANTS, MakeVariantsRequest(dataset="polled"))
            for _ in range(count)
        ]
        session.info.pop(job_rows.SUBMITTED)
        ids = [job.id for job in made]
    with transaction() as session:
        for job_id in ids:
            assert job_rows.claim(session, job_id) is not None
    with transaction() as session:
        for job_id in ids:
            row = session.get(Job, job_id)
            assert row is not None
            row.created_at = utcnow() - POLLED_AGE
            row.lease_until = utcnow() + timedelta(hours=1)
    return ids


def compare(
    here: Surroundings, kind: str, logs: Path, arguments: argparse.Namespace, targets: Targets
) -> Any:
    with transaction() as session:
        add_version(session, VERSION)
        session.info.pop(job_rows.SUBMITTED)
    floor, ours = Floor(here, logs, kind), Ours(here, logs, kind)
    rounds: dict[str, list[dict[str, Any]]] = {floor.name: [], ours.name: []}
    polled: list[float] = []
    try:
        for side in (floor, ours):
            measure(side, count=10, flood_count=20)
        ids = running_jobs(POLLERS)
        for _ in range(arguments.rounds):
            for side in (floor, ours):
                rounds[side.name].append(measure(side, count=arguments.count, flood_count=arguments.flood))
            pollers = Pollers(ours, ids, logs)
            with_pollers = throughput(ours, arguments.flood)
            said = pollers.stop()
            alone = throughput(ours, arguments.flood)
            polled.append(with_pollers / alone)
    finally:
        floor.child.stop()
        ours.stop()
    show(rounds, polled, said)
    judge(rounds, polled, floor.name, ours.name, targets)
    return {"rounds": rounds, "polled": polled}


def show(rounds: dict[str, list[dict[str, Any]]], polled: list[float], said: str) -> None:
    print(f"\n{'':26}{'p50 ms':>9}{'p99 ms':>9}{'jobs/s':>9}")
    for name, found in rounds.items():
        waits = sorted(wait for one in found for wait in one["waits"])
        rate = statistics.median(one["rate"] for one in found)
        print(f"{name:26}{statistics.median(waits):9.2f}{waits[int(0.99 * len(waits))]:9.2f}{rate:9.1f}")
    print(f"throughput beside {POLLERS} pollers: {statistics.median(polled):.3f} of that without; {said}")


def judge(
    rounds: dict[str, list[dict[str, Any]]], polled: list[float], floor: str, ours: str, targets: Targets
) -> None:
    def middle(name: str) -> list[float]:
        return [statistics.median(one["waits"]) for one in rounds[name]]

    waits = [a / b for a, b in zip(middle(ours), middle(floor), strict=True)]
    rates = [a["rate"] / b["rate"] for a, b in zip(rounds[ours], rounds[floor], strict=True)]
    targets.at_most(f"{ours}: p50 over the floor's", statistics.median(waits), 2.5)
    targets.at_least(f"{ours}: jobs a second over the floor's", statistics.median(rates), 0.4)
    targets.at_least(f"{ours}: throughput beside {POLLERS} pollers", statistics.median(polled), 0.9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=60, help="jobs of a round at a steady pace, 20 a second")
    parser.add_argument("--flood", type=int, default=200, help="jobs of a round as fast as they can be sent")
    parser.add_argument("--quick", action="store_true", help="two rounds")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--json", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    end_on_sigterm()
    if arguments.quick:
        arguments.rounds = 2
    targets, data = Targets(), {}
    for kind in arguments.databases:
        with tempfile.TemporaryDirectory(prefix="reel-jobs-") as folder:
            home = Path(folder)
            home.chmod(0o755)  # PostgreSQL does not run as root, and whoever it runs as must get in
            with Surroundings(home / "servers", postgresql=kind == "postgresql") as here:
                data[kind] = compare(here, kind, home / "logs", arguments, targets)
    targets.show()
    if arguments.json:
        arguments.json.write_text(json.dumps({"figures": data, "targets": targets.rows}, indent=1))
    sys.exit(1 if arguments.check and targets.missed else 0)


if __name__ == "__main__":
    main()
