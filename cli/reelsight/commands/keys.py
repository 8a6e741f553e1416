"""``reel keys``: API keys made, listed and revoked; a key's token is shown once, when it is made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import JsonObject
from reelsight.commands import console
from reelsight.commands.connected import connected

keys = typer.Typer(help="Make, list and revoke API keys. Needs a key with admin.", no_args_is_help=True)


@keys.command("list")
@connected
def list_keys(client: Client, as_json: console.JsonOption = False) -> None:
    """Every key, revoked ones too, the newest first; without tokens."""
    rows = list(client.keys())
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("key", "name", "may", "made", "until"):
        table.add_column(heading)
    for row in rows:
        scopes = ", ".join(row["scopes"])
        table.add_row(row["id"], escape(row["name"]), scopes, row["created_at"][:10], _until(row))
    console.out.print(table)


@keys.command()
@connected
def create(
    client: Client,
    name: Annotated[str, typer.Argument(help="What it is for, such as 'nightly training'.")],
    scope: Annotated[list[str], typer.Option(help="read, submit, admin or demo; may be said several times.")],
    until: Annotated[datetime | None, typer.Option(help="The last moment it is good for, in UTC.")] = None,
    as_json: console.JsonOption = False,
) -> None:
    """Make a key. The token is printed this once and stored nowhere."""
    made = client.create_key(name, scope, expires_at=f"{until.isoformat()}Z" if until else None)
    if console.wants_json(as_json):
        console.print_json(made)
        return
    console.out.print(made["token"], soft_wrap=True, highlight=False)
    console.err.print(
        f"Keep it: it is not shown again. Use it as REEL_TOKEN; `reel keys revoke {made['id']}` ends it.",
        soft_wrap=True,
    )


@keys.command()
@connected
def revoke(
    client: Client, key: Annotated[str, typer.Argument(help="The key's id, such as key_01a2…")]
) -> None:
    """Refuse a key from now on; other processes follow within 5 seconds."""
    client.revoke_key(key)
    console.err.print(f"{key} is revoked.")


def _until(row: JsonObject) -> str:
    if row["revoked_at"]:
        return f"revoked {row['revoked_at'][:10]}"
    return row["expires_at"][:16].replace("T", " ") if row["expires_at"] else "for ever"
