"""Clients that poll a running job each, as the API tells them to: `jobs_pollers.py PORT AUTHORIZATION JOB…`."""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time

from load import Connection, request


async def poll(port: int, authorization: str, job_id: str, asked: list[float]) -> None:
    etag, wait = "", random.uniform(0, 10)
    connection: Connection | None = None
    while True:
        await asyncio.sleep(wait)
        if connection is None or connection.transport is None:
            connection = await Connection.open("127.0.0.1", port)
        headers = {"Authorization": authorization} | ({"If-None-Match": etag} if etag else {})
        answer = await connection.ask(request("GET", f"/v1/jobs/{job_id}", "127.0.0.1", headers))
        if answer.status not in (200, 304):
            raise RuntimeError(f"{answer.status}: {answer.body[:200]!r}")
        found = re.search(rb"etag: *(\S+)", answer.headers)
        etag = found[1].decode().replace("w/", "W/") if found else ""
        again = re.search(rb"retry-after: *(\d+)", answer.headers)
        wait = float(again[1]) if again else 10.0
        asked.append(time.monotonic())


async def report(asked: list[float]) -> None:
    while True:
        await asyncio.sleep(1)
        recent = sum(at > time.monotonic() - 3 for at in asked[-3000:]) / 3
        print(f"{recent:.0f} polls a second", flush=True)


async def main() -> None:
    port, authorization, *job_ids = sys.argv[1:]
    asked: list[float] = []
    await asyncio.gather(report(asked), *(poll(int(port), authorization, each, asked) for each in job_ids))


if __name__ == "__main__":
    asyncio.run(main())
