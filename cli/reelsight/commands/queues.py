"""``reel queues``: what waits and runs in each queue; pause one, and let it go on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import JsonObject
from reelsight.commands import console
from reelsight.commands.connected import connected

queues = typer.Typer(help="See, pause and resume the queues of jobs.", no_args_is_help=True)
Queue = Annotated[str, typer.Argument(help="The queue's name, such as trainer.")]


@queues.command("list")
@connected
def list_queues(client: Client, as_json: console.JsonOption = False) -> None:
    """Every queue: how many jobs wait, for how long, and how many run."""
    rows = list(client.queues())
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("queue")
    for heading in ("queued", "oldest", "running", "failed"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        counts = (
            str(row["queued"]),
            _age(row["oldest_queued_seconds"]),
            str(row["running"]),
            str(row["failed"]),
        )
        table.add_row(row["name"], *counts, _paused(row))
    console.out.print(table)


@queues.command()
@connected
def pause(
    client: Client,
    queue: Queue,
    reason: Annotated[str, typer.Option(help="Why, for those who wait.")] = "",
) -> None:
    """Let no worker take a job from a queue. It goes on accepting them; what runs ends as usual."""
    row = client.pause_queue(queue, reason=reason)
    console.out.print(
        f"{queue} is paused: {row['queued']} queued, {row['running']} running to their end. "
        f"Go on with `reel queues resume {queue}`.",
        soft_wrap=True,
    )


@queues.command()
@connected
def resume(client: Client, queue: Queue) -> None:
    """Let workers take jobs from a queue again."""
    row = client.resume_queue(queue)
    console.out.print(f"{queue} goes on: {row['queued']} queued, {row['running']} running.")


def _paused(row: JsonObject) -> str:
    if not row["paused"]:
        return ""
    reason = f": {escape(row['reason'])}" if row["reason"] else ""
    return f"[yellow]paused since {row['paused_at'][:19]}[/]{reason}"


def _age(seconds: float | None) -> str:
    """Write seconds as ``12 s``, ``3 min`` or ``5.1 h``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
