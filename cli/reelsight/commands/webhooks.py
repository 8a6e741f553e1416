"""``reel webhooks``: be told of jobs that end, see what was told, send it again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import JsonObject
from reelsight.commands import console
from reelsight.commands.connected import connected

webhooks = typer.Typer(
    help="Be told of jobs that end, see what was told, send it again.", no_args_is_help=True
)
Endpoint = Annotated[str, typer.Argument(help="The endpoint's id, such as whe_01a2….")]
COLOURS = {"delivered": "green", "failed": "red", "pending": "cyan"}


@webhooks.command("list")
@connected
def list_endpoints(client: Client, as_json: console.JsonOption = False) -> None:
    """The endpoints of your key; everybody's with a key that has the scope admin."""
    rows = list(client.webhooks())
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("endpoint", no_wrap=True)
    for heading in ("address", "of", "state"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row["id"], escape(row["url"]), _wants(row), _state(row))
    console.out.print(table if rows else "No webhooks yet. `reel webhooks add https://…` makes one.")


@webhooks.command()
@connected
def add(
    client: Client,
    address: Annotated[str, typer.Argument(help="Where jobs are told, https://….")],
    event: Annotated[
        list[str] | None, typer.Option(help="job.succeeded, job.failed, job.canceled; all unless said.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Jobs of this kind; all unless said.")] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    all_jobs: Annotated[bool, typer.Option("--all", help="Everybody's jobs, not only your key's.")] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Be told of jobs that end. The secret that deliveries are signed with is printed this once."""
    fields: JsonObject = {"kinds": kind or [], "description": description, "all_jobs": all_jobs}
    row = client.add_webhook(address, **fields, **({"events": event} if event else {}))
    if console.wants_json(as_json):
        console.print_json(row)
        return
    console.out.print(f"{row['id']} is told from now on. Its secret, shown this once:", soft_wrap=True)
    console.out.print(row["secret"], highlight=False, soft_wrap=True)
    console.out.print(f"Try it with `reel webhooks ping {row['id']}`.", soft_wrap=True)


@webhooks.command()
@connected
def roll(
    client: Client,
    endpoint: Endpoint,
    overlap_hours: Annotated[
        float, typer.Option(help="The secret before signs too for so long; 0 when somebody else may know it.")
    ] = 24,
    as_json: console.JsonOption = False,
) -> None:
    """Replace an endpoint's secret. The new one is printed this once."""
    row = client.roll_webhook_secret(endpoint, overlap_hours=overlap_hours)
    if console.wants_json(as_json):
        console.print_json(row)
        return
    console.out.print(f"The new secret of {endpoint}, shown this once:", soft_wrap=True)
    console.out.print(row["secret"], highlight=False, soft_wrap=True)
    until = row["old_secrets_until"]
    told = (
        f"The one before signs too until {until[:16]}Z."
        if until
        else "The one before signs nothing any more."
    )
    console.out.print(told, soft_wrap=True)


@webhooks.command()
@connected
def delete(client: Client, endpoint: Endpoint) -> None:
    """Delete an endpoint and what is known of its deliveries."""
    client.delete_webhook(endpoint)
    console.out.print(f"{endpoint} is deleted.", soft_wrap=True)


@webhooks.command()
@connected
def enable(client: Client, endpoint: Endpoint) -> None:
    """Send to an endpoint again, beginning with what was due when it was disabled."""
    client.enable_webhook(endpoint)
    console.out.print(f"{endpoint} is told again.", soft_wrap=True)


@webhooks.command()
@connected
def disable(client: Client, endpoint: Endpoint) -> None:
    """Send nothing to an endpoint until it is enabled."""
    client.disable_webhook(endpoint)
    console.out.print(f"{endpoint} is told nothing until `reel webhooks enable {endpoint}`.", soft_wrap=True)


@webhooks.command()
@connected
def ping(client: Client, endpoint: Endpoint) -> None:
    """Send a test to an endpoint."""
    row = client.ping_webhook(endpoint)
    console.out.print(
        f"{row['id']} is on its way; look with `reel webhooks deliveries {endpoint}`.", soft_wrap=True
    )


@webhooks.command()
@connected
def deliveries(
    client: Client,
    endpoint: Endpoint,
    state: Annotated[str, typer.Option(help="pending, delivered or failed.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
    as_json: console.JsonOption = False,
) -> None:
    """What an endpoint was told, the newest first, and what it answered."""
    found = client.webhook_deliveries(endpoint, state=state, limit=limit)
    rows = [row for _, row in zip(range(limit), found, strict=False)]
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("delivery", no_wrap=True)
    for heading in ("event", "job", "state", "tries", "answer", "next"):
        table.add_column(heading)
    for row in rows:
        state_text = f"[{COLOURS.get(row['state'], 'white')}]{row['state']}[/]"
        tries = str(len(row["tries"]))
        next_at = (row["next_at"] or "")[:19]
        table.add_row(row["id"], row["event"], row["job_id"] or "", state_text, tries, _answer(row), next_at)
    console.out.print(table if rows else "Nothing was told yet.")


@webhooks.command()
@connected
def redeliver(
    client: Client, delivery: Annotated[str, typer.Argument(help="The delivery's id, such as whd_01a2….")]
) -> None:
    """Send a delivery again, under the same id."""
    row = client.redeliver_webhook(delivery)
    console.out.print(
        f"{row['id']} is on its way; look with `reel webhooks deliveries {row['endpoint_id']}`.",
        soft_wrap=True,
    )


def _wants(row: JsonObject) -> str:
    events = ", ".join(name.removeprefix("job.") for name in row["events"])
    kinds = ", ".join(row["kinds"]) or "all kinds"
    return f"{events}; {kinds}; {'everybody’s jobs' if row['all_jobs'] else 'own jobs'}"


def _state(row: JsonObject) -> str:
    if row["disabled_at"]:
        return f"[red]disabled[/]: {escape(row['disabled_reason'])}"
    return (
        f"[yellow]failing since {row['failing_since'][:19]}[/]" if row["failing_since"] else "[green]good[/]"
    )


def _answer(row: JsonObject) -> str:
    if not row["tries"]:
        return ""
    last = row["tries"][-1]
    return str(last["status"]) if last["status"] else escape(last["error"])
