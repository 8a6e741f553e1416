"""Ray Serve: `eager` as its tutorials start it; with our engine a replica a core and dynamic batches.

https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import ray
from predictor import EAGER, MAX_BATCH, PORT, load
from ray import serve
from starlette.requests import Request

REPLICAS = int(os.environ.get("BENCH_WORKERS", "2"))


async def content(request: Request) -> bytes:
    async with request.form() as form:
        return await form["file"].read()


@serve.deployment
class Plain:
    def __init__(self) -> None:
        self.net = load()

    async def __call__(self, request: Request) -> dict[str, Any]:
        return self.net.predict([self.net.prepare(await content(request))])[0]


@serve.deployment(num_replicas=REPLICAS, max_ongoing_requests=32, ray_actor_options={"num_cpus": 0})
class Tuned:
    def __init__(self) -> None:
        self.net = load(wide=REPLICAS == 1)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.005)
    async def batch(self, pictures: list[Any]) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.net.predict, pictures)

    async def __call__(self, request: Request) -> dict[str, Any]:
        picture = await asyncio.to_thread(self.net.prepare, await content(request))
        return await self.batch(picture)


def main() -> None:
    ray.init(include_dashboard=False, logging_level="warning", num_cpus=2)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Plain.bind() if EAGER else Tuned.bind(), route_prefix="/predict")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # else Ray's own processes would outlive this one
    try:
        signal.pause()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
