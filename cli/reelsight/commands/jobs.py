"""``reel jobs``: list, show, watch, cancel and replay what the platform works on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from reel_shared.contracts import JsonObject
from reelsight.commands import console
from reelsight.commands.following import attended

jobs = typer.Typer(help="List, show, watch, cancel and replay jobs.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(help="The job's id, such as job_01a2….")]
COLOURS = {"succeeded": "green", "failed": "red", "canceled": "yellow", "running": "cyan"}


@jobs.command("list")
def list_jobs(
    state: Annotated[str, typer.Option(help="Only this state.")] = "",
    kind: Annotated[str, typer.Option(help="Only this kind.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
    url: console.UrlOption = "",
    token: console.TokenOption = "",
    data: console.DataOption = console.DEFAULT_DATA,
    as_json: console.JsonOption = False,
) -> None:
    """The newest jobs first."""
    found = console.client(url=url, token=token, data=data).jobs(state=state, kind=kind, limit=limit)
    rows = [job for _, job in zip(range(limit), found, strict=False)]
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("job", no_wrap=True)  # an id cut short cannot be passed on
    for heading in ("kind", "state", "progress", "created"):
        table.add_column(heading)
    for job in rows:
        state_text = f"[{COLOURS.get(job['state'], 'white')}]{job['state']}[/]"
        table.add_row(job["id"], job["kind"], state_text, progress_text(job), job["created_at"][:19])
    console.out.print(table if rows else "No jobs yet. `reel demo` makes some.")


@jobs.command()
def show(
    job_id: JobId,
    url: console.UrlOption = "",
    token: console.TokenOption = "",
    data: console.DataOption = console.DEFAULT_DATA,
) -> None:
    """One job whole, as JSON."""
    console.out.print_json(data=console.client(url=url, token=token, data=data).job(job_id))


@jobs.command()
def watch(
    job_id: JobId,
    url: console.UrlOption = "",
    token: console.TokenOption = "",
    data: console.DataOption = console.DEFAULT_DATA,
) -> None:
    """Follow a job to its end; exits 1 when it fails. Ctrl-C asks whether to detach or to cancel it."""
    client = console.client(url=url, token=token, data=data)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )

    def wait() -> JsonObject:
        with Progress(*columns, console=console.err) as bar:
            task = bar.add_task(job_id, text="")

            def update(job: JsonObject) -> None:
                progress = job["progress"]
                bar.update(task, completed=progress["done"], total=progress["total"], text=progress_text(job))

            return client.wait(job_id, on_progress=update)

    job = attended(client, wait, live=lambda: [job_id])
    if job["state"] != "succeeded":
        detail = (job["error"] or {}).get("detail", "")
        console.fail(f"{job_id} {job['state']}. {detail}")
    console.out.print_json(data=job["result"])


@jobs.command()
def cancel(
    job_id: JobId,
    url: console.UrlOption = "",
    token: console.TokenOption = "",
    data: console.DataOption = console.DEFAULT_DATA,
) -> None:
    """Ask a job to stop."""
    job = console.client(url=url, token=token, data=data).cancel(job_id)
    console.out.print(f"{job_id} is {job['state']}.")


@jobs.command()
def replay(
    job_id: JobId,
    url: console.UrlOption = "",
    token: console.TokenOption = "",
    data: console.DataOption = console.DEFAULT_DATA,
) -> None:
    """Submit a failed or canceled job's request again."""
    job = console.client(url=url, token=token, data=data).replay(job_id)
    console.out.print(f"{job['id']} is {job['state']}; watch it with `reel jobs watch {job['id']}`.")


def progress_text(job: JsonObject) -> str:
    """Return what a person wants to know of a job's progress in a few words."""
    progress = job["progress"]
    total = f"/{progress['total']}" if progress["total"] else ""
    count = f"{progress['done']}{total} {progress['unit']}".strip() if progress["done"] else ""
    return " ".join(part for part in (count, progress["message"]) if part)
