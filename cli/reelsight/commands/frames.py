"""``reel frames``: frames that show background only, found from a few that a person has marked."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import JsonObject
from reel_shared.contracts.curation import MarkImagesRequest, RankSubjectsRequest
from reelsight.commands import console
from reelsight.commands.connected import connected, request_of
from reelsight.commands.films import DatasetOption
from reelsight.commands.following import follow

frames = typer.Typer(help="Mark frames and find those with background only.", no_args_is_help=True)


@frames.command()
@connected
def mark(
    client: Client,
    ids: Annotated[list[str], typer.Argument(help="Frames' ids, such as img_01a2….")],
    keep: Annotated[
        bool, typer.Option("--keep/--background", help="Somebody is in them; or background only.")
    ],
    as_json: console.JsonOption = False,
) -> None:
    """Say of frames whether somebody is in them; changes no state."""
    fields = {"image_ids": ids, "mark": "keep" if keep else "background"}
    request = request_of(MarkImagesRequest, fields, None)
    marked = client.mark_images(request.image_ids, request.mark)
    if console.wants_json(as_json):
        console.print_json({"marked": marked})
        return
    console.out.print(f"{marked} marked {request.mark}. Next: reel frames rank", highlight=False)


@frames.command()
@connected
def rank(
    client: Client,
    name: DatasetOption = "default",
    label: Annotated[str, typer.Option("--class", help="Only this class.")] = "",
    film: Annotated[str, typer.Option(help="Only this film, such as mov_01a2….")] = "",
    precision: Annotated[float, typer.Option(help="Wanted share of backgrounds among the proposals.")] = 0.95,
    apply: Annotated[bool, typer.Option("--apply", help="Reject the proposals; can be undone.")] = False,
    show: Annotated[int, typer.Option(help="How many frames to show.")] = 20,
    as_json: console.JsonOption = False,
) -> None:
    """Learn from the marks which frames show background only."""
    fields = {"dataset": name, "label": label, "movie_id": film, "precision": precision, "apply": apply}
    job = client.rank_subjects(request_of(RankSubjectsRequest, fields, None))
    found = follow(client, {name: job})[name]["result"]
    lines = client.download(found["proposals"]["url"]).splitlines() if found["proposals"] else []
    ranked = [json.loads(line) for line in lines]
    if console.wants_json(as_json):
        console.print_json({**found, "ranked": ranked})
        return
    _show(found, ranked[:show])


def _show(found: JsonObject, ranked: list[JsonObject]) -> None:
    table = Table("frame", "background", "proposed", "marked", box=None, pad_edge=False)
    for frame in ranked:
        proposed = "yes" if frame["proposed"] else ""
        table.add_row(frame["image_id"], f"{frame['probability']:.0%}", proposed, frame["mark"] or "")
    console.out.print(table if ranked else "No frame is left to rank.")
    console.out.print(found["message"], highlight=False, markup=False)
    if found["batch_id"]:
        console.out.print(
            f"{found['applied']} rejected. To put them back: reel pictures undo {found['batch_id']}",
            highlight=False,
        )
