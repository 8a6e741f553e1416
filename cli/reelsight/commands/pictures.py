"""``reel pictures``: pictures of a class, out of a folder, a zip or a search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from reel_shared.client import Client
from reel_shared.contracts import CollectPicturesRequest, JsonObject
from reel_shared.contracts.curation import ChangeImagesRequest, TakeDownPicturesRequest
from reelsight.commands import console
from reelsight.commands.archives import check_place, uploaded
from reelsight.commands.connected import FieldsOption, connected, request_of
from reelsight.commands.copies import copies
from reelsight.commands.films import DatasetOption, DetachOption, reasons
from reelsight.commands.following import announce, follow

pictures = typer.Typer(help="Add, search and list pictures.", no_args_is_help=True)
pictures.command()(copies)
LicenceOption = Annotated[str, typer.Option(help="The licence of all of them, when known.")]
ProbeOption = Annotated[
    str, typer.Option(help="Keep them out of training, as a held-out probe set of this name.")
]
_TOLD = {
    "dataset_versions": "Versions that held it, now marked",
    "models": "Models of such versions, now marked",
    "look_alikes": "Duplicates of it that stay; look at them",
}


@pictures.command()
@connected
def add(
    client: Client,
    path: Annotated[
        Path,
        typer.Argument(help="A zip, a folder of pictures, or a folder with a folder a class.", exists=True),
    ],
    label: Annotated[str, typer.Option("--class", help="The class; else each folder names one.")] = "",
    dataset: DatasetOption = "default",
    style: Annotated[str, typer.Option(help="What they are: fanart, sketch, drawing, cosplay, …")] = "",
    licence: LicenceOption = "",
    probe: ProbeOption = "",
    augment: Annotated[bool, typer.Option(help="Make the six variants of each.")] = True,
    extra: FieldsOption = None,
    detach: DetachOption = False,
    as_json: console.JsonOption = False,
) -> None:
    """Upload pictures, one job a class."""
    jobs: dict[str, JsonObject] = {}
    for name, place in _classes(path, label):
        request = request_of(
            CollectPicturesRequest,
            {
                "dataset": dataset,
                "label": name,
                "provider": "zip",
                "key": "uploads/pending",
                "style": style,
                "licence": licence,
                "probe": probe,
                "augment": augment,
            },
            extra,
        )
        request.key = uploaded(client, place)
        jobs[name] = client.collect_pictures(request)
    if detach:
        announce(jobs, as_json=as_json)
        return
    _show(follow(client, jobs), as_json=as_json)


def _classes(path: Path, label: str) -> Iterator[tuple[str, Path]]:
    """Yield each class with its zip or folder."""
    check_place(path)
    folders = [] if path.is_file() else sorted(each for each in path.iterdir() if each.is_dir())
    if label or not folders:
        yield label or path.resolve().stem, path
        return
    yield from ((folder.name, folder) for folder in folders)


@pictures.command()
@connected
def search(
    client: Client,
    query: Annotated[str, typer.Argument(help="What to look for, such as the film's name.")],
    label: Annotated[str, typer.Option("--class", help="The class.")],
    dataset: DatasetOption = "default",
    provider: Annotated[
        str, typer.Option(help="openverse, wikimedia, …; see docs/reference/jobs.md.")
    ] = "openverse",
    styles: Annotated[
        str, typer.Option(help="One search for each, such as fanart,sketch,drawing; none: the query alone.")
    ] = "",
    since: Annotated[str, typer.Option(help="Only from this day on, as 2020-01-31.")] = "",
    until: Annotated[str, typer.Option(help="Only up to this day.")] = "",
    windows: Annotated[int | None, typer.Option(help="Cut that time into so many searches.")] = None,
    limit: Annotated[int, typer.Option(help="Pictures for each search at most.")] = 200,
    probe: ProbeOption = "",
    extra: FieldsOption = None,
    detach: DetachOption = False,
    as_json: console.JsonOption = False,
) -> None:
    """Collect pictures from the web."""
    fields = {
        "dataset": dataset,
        "label": label,
        "provider": provider,
        "query": query,
        "styles": [style.strip() for style in styles.split(",") if style.strip()],
        "since": since,
        "until": until,
        "windows": windows,
        "limit": limit,
        "probe": probe,
    }
    jobs = {label: client.collect_pictures(request_of(CollectPicturesRequest, fields, extra))}
    if detach:
        announce(jobs, as_json=as_json)
        return
    _show(follow(client, jobs), as_json=as_json)


def _show(jobs: dict[str, JsonObject], *, as_json: bool) -> None:
    if console.wants_json(as_json):
        console.print_json({name: job["result"] for name, job in jobs.items()})
        return
    table = Table(
        "class", "seen", "kept", "exact", "near", "conflicts", "rejected", "refused", box=None, pad_edge=False
    )
    for name, job in jobs.items():
        counts = job["result"]["counts"]
        numbers = ("seen", "kept", "exact_duplicates", "near_duplicates", "conflicts")
        table.add_row(
            name,
            *(str(counts[number]) for number in numbers),
            reasons(counts["rejected"]),
            reasons(counts["refused"]),
        )
    console.out.print(table)


@pictures.command("list")
@connected
def list_pictures(
    client: Client,
    dataset: Annotated[str, typer.Option(help="Only this dataset.")] = "",
    label: Annotated[str, typer.Option("--class", help="Only this class.")] = "",
    state: Annotated[str, typer.Option(help="active, rejected, quarantined, duplicate or removed.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    as_json: console.JsonOption = False,
) -> None:
    """The pictures of a dataset, the newest first."""
    found = client.images(dataset=dataset, label=label, state=state, variant="original")
    rows = [image for _, image in zip(range(limit), found, strict=False)]
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("picture", no_wrap=True)  # an id cut short cannot be passed on
    for heading in ("class", "what", "state", "from"):
        table.add_column(heading, overflow="fold")
    for image in rows:
        state = " ".join(filter(None, (image["state"], image["state_reason"])))
        what = image["style"] or image["source"]
        # Text, for strangers' words may look like markup.
        table.add_row(*map(Text, (image["id"], image["label"], what, state, _origin(image))))
    console.out.print(table if rows else "No such pictures.")


def _origin(image: JsonObject) -> str:
    """Return the film and the time of a frame; the licence, author, date and page of a web picture."""
    if image["movie_id"]:
        seconds = image["time_seconds"]
        return f"{image['title'] or image['movie_id']}" + ("" if seconds is None else f", {seconds:.1f} s")
    licence = image["licence"] or "licence unknown"
    words = ", ".join(filter(None, (licence, image["creator"], (image["taken_at"] or "")[:10])))
    return "\n".join(filter(None, (words, image["page_url"])))


@pictures.command("set")
@connected
def set_pictures(
    client: Client,
    ids: Annotated[list[str], typer.Argument(help="Pictures' ids, such as img_01a2….")],
    state: Annotated[str, typer.Option(help="active, rejected or quarantined.")] = "",
    label: Annotated[str, typer.Option("--class", help="The right class.")] = "",
    reason: Annotated[str, typer.Option(help="Why, in a word or two.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Give a film's frames another class too.")] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Set the state or the class of pictures; variants go along."""
    wanted = {name: value for name, value in (("state", state), ("label", label)) if value}
    fields = {"image_ids": ids, "set": wanted, "reason": reason, "force": force}
    batch = client.change_images(request_of(ChangeImagesRequest, fields, None))
    _say(batch.model_dump(), as_json=as_json)


@pictures.command()
@connected
def undo(
    client: Client,
    batch: Annotated[str, typer.Argument(help="What `reel pictures set` answered.")],
    as_json: console.JsonOption = False,
) -> None:
    """Put back what one action changed."""
    _say(client.undo_changes(batch).model_dump(), as_json=as_json)


@pictures.command("take-down")
@connected
def take_down(
    client: Client,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    image: Annotated[str, typer.Option("--id", help="The picture's id, such as img_01a2….")] = "",
    address: Annotated[str, typer.Option("--picture-url", help="Or where it was fetched from.")] = "",
    page: Annotated[str, typer.Option("--page-url", help="Or the page that showed it.")] = "",
    as_json: console.JsonOption = False,
) -> None:
    """Delete a picture, its copies and its variants for good, and never fetch it again."""
    fields = {"image_id": image, "url": address, "page_url": page, "reason": reason}
    job = client.take_down_pictures(request_of(TakeDownPicturesRequest, fields, None))
    found = follow(client, {"take-down": job})["take-down"]["result"]
    if console.wants_json(as_json):
        console.print_json(found)
        return
    console.out.print(
        f"{len(found['images'])} pictures and {found['variants']} variants taken down, {found['objects']} files gone.",
        highlight=False,
    )
    for what in ("dataset_versions", "models", "look_alikes"):
        if found[what]:
            console.out.print(f"{_TOLD[what]}: {', '.join(found[what])}", highlight=False)


def _say(batch: JsonObject, *, as_json: bool) -> None:
    if console.wants_json(as_json):
        console.print_json(batch)
        return
    skipped = f", {batch['skipped']} left alone" if batch["skipped"] else ""
    console.out.print(
        f"{batch['changed']} changed, {batch['unchanged']} were so already{skipped}. "
        f"To put it back: reel pictures undo {batch['batch_id']}",
        highlight=False,
    )
