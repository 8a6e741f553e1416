"""Pictures a second of jobs: ours over the API, and plain Celery with one picture a task, on the same servers.

Celery runs as its documentation starts it: prefork, a process a core, results in Redis. Each process has our
engine with one thread, and decodes as our service does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from celery import Celery, group
from celery.signals import worker_process_init
from embedded_stack import PYTHON, Child, Surroundings
from load import MARK, marked

from reel_shared.storage import storage

HERE = Path(__file__).parent
app = Celery(
    "serving_bulk", broker=os.environ.get("BENCH_BROKER", ""), backend=os.environ.get("BENCH_BROKER", "")
)
_engine: Any = None


@worker_process_init.connect
def _load(**_: Any) -> None:
    global _engine
    from reel_inference.engine import load_engine

    _engine = load_engine(Path(os.environ["BENCH_MODEL"]), lanes=1, wide=False, precision="bf16", max_batch=1)


@app.task(name="predict")
def predict(key: str) -> dict[str, Any]:
    from reel_inference.predict import answer
    from reel_shared.images import open_picture, preprocess

    picture = preprocess(open_picture(storage().get_bytes(key, max_bytes=20 * 2**20)), _engine.size)
    logits = _engine.infer(picture[None], 0)
    return answer(logits, _engine.card, top_k=3).model_dump()


class PlainCelery:
    def __init__(self, here: Surroundings, model: Path, logs: Path, *, cores: int) -> None:
        url = here.valkey.url_of(7)
        app.conf.update(broker_url=url, result_backend=url, broker_connection_retry_on_startup=True)
        env = here.env | {"BENCH_BROKER": url, "BENCH_MODEL": str(model), "PYTHONPATH": str(HERE)}
        options = ["--concurrency", str(cores), "--loglevel", "WARNING"]
        command = [PYTHON, "-m", "celery", "-A", "serving_bulk", "worker", *options]
        self.child = Child(command, env=env, log=logs / "celery.log", cwd=HERE)

    def run(self, keys: Sequence[str]) -> tuple[float, list[dict[str, Any]]]:
        """Return pictures a second and the answers."""
        began = time.perf_counter()
        found = group(predict.s(key) for key in keys).apply_async().get(timeout=120)
        return len(keys) / (time.perf_counter() - began), found


class OurJobs:
    def __init__(self, here: Surroundings, url: str, logs: Path) -> None:
        self.client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {here.key}"}, timeout=120)
        env = here.env | {
            "REEL_INFERENCE__PRECISION": "bf16",
            "REEL_INFERENCE__CACHE_ENTRIES": "0",
            "REEL_DATA_DIR": str(here.folder / "data-worker"),
        }
        self.child = Child([PYTHON, "-m", "reel_inference.worker"], env=env, log=logs / "worker.log")

    def run(self, keys: Sequence[str]) -> tuple[float, list[dict[str, Any]]]:
        """Return pictures a second, from the request to the end of the job, and the answers."""
        began = time.perf_counter()
        wait = {"Prefer": "wait=30"}
        answer = self.client.post("/v1/predictions", json={"keys": list(keys)}, headers=wait)
        answer.raise_for_status()
        job = answer.json()
        while job["state"] in ("queued", "running"):
            job = self._look(job["id"])
        took = time.perf_counter() - began
        if job["state"] != "succeeded" or job["result"]["failed"]:
            raise RuntimeError(f"the job ended as {job['state']}: {job['error']}")
        lines = httpx.get(job["result"]["results"]["url"]).text.splitlines()
        import json

        return len(keys) / took, [json.loads(line) for line in lines]

    def _look(self, job_id: str) -> dict[str, Any]:
        # the service alone has no /v1/jobs; the row says when it ended
        from reel_shared import jobs
        from reel_shared.db.engine import reading
        from reel_shared.web.envelope import envelope

        time.sleep(0.02)
        with reading() as session:
            return envelope(jobs.get(session, job_id))


def store(pictures: Sequence[Path], count: int) -> list[str]:
    """Upload so many different pictures and return their keys."""
    keys = []
    for number in range(count):
        before, behind = marked(pictures[number % len(pictures)].read_bytes())
        content = before + f"{number:0{MARK}d}".encode() + behind
        keys.append(storage().put_bytes("uploads", content, "image/jpeg", ".jpg").key)
    return keys


if __name__ == "__main__":
    sys.exit("run benchmarks/serving.py")
