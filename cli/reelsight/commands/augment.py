"""``reel augment``: variants of the pictures that are there already."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import JsonObject, MakeVariantsRequest
from reelsight.commands import console
from reelsight.commands.connected import FieldsOption, connected, request_of
from reelsight.commands.films import DatasetOption, DetachOption, reasons
from reelsight.commands.following import announce, follow

augment = typer.Typer(help="Make variants of pictures.", no_args_is_help=True)


@augment.command()
@connected
def run(
    client: Client,
    dataset: DatasetOption = "default",
    label: Annotated[str, typer.Option("--class", help="Only this class.")] = "",
    collection: Annotated[str, typer.Option(help="Only this web collection, such as col_01a2….")] = "",
    variant: Annotated[
        list[str] | None,
        typer.Option(help="grayscale, invert, noise, …; may be said several times; all unless said."),
    ] = None,
    web_share: Annotated[
        float | None,
        typer.Option(help="Only as many as bring the web pictures to this share of each class, such as 0.4."),
    ] = None,
    extra: FieldsOption = None,
    detach: DetachOption = False,
    as_json: console.JsonOption = False,
) -> None:
    """Make the variants that web pictures lack: six kinds of each unless told otherwise."""
    fields = {
        "dataset": dataset,
        "label": label,
        "collection_id": collection,
        "variants": variant,
        "web_share": web_share,
    }
    jobs = {label or dataset: client.make_variants(request_of(MakeVariantsRequest, fields, extra))}
    if detach:
        announce(jobs, as_json=as_json)
        return
    [done] = follow(client, jobs).values()
    _show(done["result"], as_json=as_json)


def _show(result: JsonObject, *, as_json: bool) -> None:
    if console.wants_json(as_json):
        console.print_json(result)
        return
    made = Table("variant", "made", "low contrast", box=None, pad_edge=False)
    for kind, count in result["made"].items():
        made.add_row(kind, str(count), str(result["skipped_low_contrast"].get(kind, "")))
    console.out.print(made)
    gray = f", {result['gray_frames']} gray copies of frames" if result["gray_frames"] else ""
    refused = f"; refused: {reasons(result['refused'])}" if result["refused"] else ""
    console.out.print(
        f"{result['sources']} pictures looked at, {result['already']} variants were there already{gray}{refused}.",
        highlight=False,
    )
    for name, share in result["shares"].items():
        short = f", {share['short']} short" if share["short"] else ""
        console.out.print(
            f"{name}: web share {share['before']:.0%}, now {share['after']:.0%}{short}", highlight=False
        )
