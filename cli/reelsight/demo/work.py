"""What every step of the mission works with: the client, and jobs followed on the screen until they end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, TypeVar

from reel_shared.client import Client
from reel_shared.contracts import TERMINAL, JsonObject, Model
from reelsight.screen import Screen

POLL_SECONDS = 0.3
ResultT = TypeVar("ResultT", bound=Model)


class MissionFailed(Exception):
    """A job of the mission did not succeed, or the dataset lacks what a step needs."""


@dataclass(frozen=True, slots=True)
class Work:
    client: Client
    screen: Screen

    def finish(self, name: str, job: JsonObject, model: type[ResultT]) -> ResultT:
        """Wait for one job and return its result. Raises MissionFailed."""
        return model.model_validate(self.wait_all({name: job})[name]["result"])

    def wait_all(self, jobs: dict[Any, JsonObject]) -> dict[Any, JsonObject]:
        """Wait for all the jobs at once and return them as they ended.

        Raises:
            MissionFailed: one of them did not succeed.
        """
        with self.screen.following(jobs) as update:
            while any(job["state"] not in TERMINAL for job in jobs.values()):
                time.sleep(POLL_SECONDS)
                for name, job in jobs.items():
                    if job["state"] not in TERMINAL:
                        jobs[name] = self.client.job(job["id"])
                        update(name, jobs[name])
        for name, job in jobs.items():
            if job["state"] != "succeeded":
                detail = (job["error"] or {}).get("detail", "")
                raise MissionFailed(f"{name}: {job['kind']} {job['id']} {job['state']}. {detail}")
        return jobs
