"""Waits for jobs on the terminal: shows them, asks at Ctrl-C what shall become of them, and ends the command when one
fails. Every command that waits does it through ``attended``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import typer

from reel_shared.client import ApiError, Client
from reel_shared.contracts import TERMINAL, JsonObject
from reelsight.commands import console
from reelsight.screen import Screen

T = TypeVar("T")
POLL_SECONDS = 0.5
WATCH = "reel jobs watch"


def attended(
    client: Client, wait: Callable[[], T], *, live: Callable[[], Sequence[str]], watch: str = WATCH
) -> T:
    """Return what ``wait`` returns. Ctrl-C on a terminal asks whether to detach or to cancel; piped, it detaches.

    Args:
        live: the ids of the jobs that have not ended, asked for when somebody presses Ctrl-C.
        watch: the command that watches one of them later.

    Raises:
        KeyboardInterrupt: after the answer; ``main`` ends with 130.
    """
    try:
        return wait()
    except KeyboardInterrupt:
        left = live()
        if left and _at_a_terminal() and _wants_to_cancel(left):
            _cancel(client, left)
        elif left:
            words = f"{_named(left)}. Watch with `{watch} {left[0]}`."
            console.err.print(words, highlight=False, soft_wrap=True)
        raise


def _at_a_terminal() -> bool:
    """Whether somebody is there to be asked, and no program reads what they would be asked beside."""
    return sys.stdin.isatty() and sys.stdout.isatty() and console.err.is_terminal


def _wants_to_cancel(left: Sequence[str]) -> bool:
    what = left[0] if len(left) == 1 else f"{len(left)} jobs"
    question = f"\nDetach, so that {what} can go on, or cancel? d/c"
    try:
        answer: str = typer.prompt(question, default="d", err=True)
    except (typer.Abort, EOFError):  # Ctrl-C once more: the question is answered by leaving
        return False
    return answer.strip().lower().startswith("c")


def _cancel(client: Client, left: Sequence[str]) -> None:
    for job_id in left:
        try:
            words = f"{job_id} is {client.cancel(job_id)['state']}."
        except ApiError as error:  # it ended while the question was asked, or the key may not
            words = f"{job_id}: {error}"
        console.err.print(words, highlight=False, soft_wrap=True)


def _named(left: Sequence[str]) -> str:
    return f"{left[0]} goes on" if len(left) == 1 else f"They go on: {', '.join(left)}"


def follow(client: Client, jobs: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
    """Return the jobs as they ended. Exits 1 when one did not succeed."""
    standing = dict(jobs)

    def wait() -> None:
        with Screen(console.err).following(standing) as update:
            while any(job["state"] not in TERMINAL for job in standing.values()):
                time.sleep(POLL_SECONDS)
                for name, job in standing.items():
                    if job["state"] not in TERMINAL:
                        standing[name] = client.job(job["id"])
                        update(name, standing[name])

    def live() -> list[str]:
        return [job["id"] for job in standing.values() if job["state"] not in TERMINAL]

    attended(client, wait, live=live)
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
        console.err.print(f"Watch it with: {WATCH} {job['id']}", highlight=False)
