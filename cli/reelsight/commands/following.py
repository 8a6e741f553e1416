"""Follows jobs on the terminal and ends the command when one fails; used by the data commands."""

from __future__ import annotations

import time
from collections.abc import Mapping

from reel_shared.client import Client
from reel_shared.contracts import TERMINAL, JsonObject
from reelsight.commands import console
from reelsight.screen import Screen

POLL_SECONDS = 0.5


def follow(client: Client, jobs: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
    """Return the jobs as they ended. Ctrl-C leaves them running. Exits 1 when one did not succeed."""
    standing = dict(jobs)
    try:
        with Screen(console.err).following(standing) as update:
            while any(job["state"] not in TERMINAL for job in standing.values()):
                time.sleep(POLL_SECONDS)
                for name, job in standing.items():
                    if job["state"] not in TERMINAL:
                        standing[name] = client.job(job["id"])
                        update(name, standing[name])
    except KeyboardInterrupt:
        left = [job["id"] for job in standing.values() if job["state"] not in TERMINAL]
        console.err.print(f"They go on: {', '.join(left)}. See `reel jobs list`.", highlight=False)
        raise
    failed = [f"{name}: {_reason(job)}" for name, job in standing.items() if job["state"] != "succeeded"]
    if failed:
        console.fail("\n".join(failed))
    return standing


def _reason(job: JsonObject) -> str:
    return str((job["error"] or {}).get("detail") or f"{job['id']} is {job['state']}.")


def announce(jobs: Mapping[str, JsonObject], *, as_json: bool) -> None:
    """Say which jobs were submitted, for commands that do not wait."""
    if console.wants_json(as_json):
        console.print_json({name: job["id"] for name, job in jobs.items()})
        return
    for name, job in jobs.items():
        console.out.print(f"{name}  {job['id']}", highlight=False)
    for job in list(jobs.values())[:1]:
        console.err.print(f"Watch it with: reel jobs watch {job['id']}", highlight=False)
