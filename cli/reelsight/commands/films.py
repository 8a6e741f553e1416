"""``reel films``: films in, frames out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import ExtractFramesRequest, JsonObject
from reelsight.commands import console
from reelsight.commands.connected import FieldsOption, connected, request_of
from reelsight.commands.following import announce, follow

films = typer.Typer(help="Add films and list them.", no_args_is_help=True)
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        "mp4", "mkv", "webm", "mov", "avi", "ts", "m2ts", "mts", "mpg", "mpeg", "m4v", "ogv", "flv", "wmv",
        "3gp", "gif", "mxf",
    )
)  # fmt: skip
ClassOption = Annotated[
    str, typer.Option("--class", help="The class; the name of each film's folder unless said.")
]
DatasetOption = Annotated[str, typer.Option("--dataset", help="The dataset to add to.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Do not wait for the jobs.")]


@films.command()
@connected
def add(
    client: Client,
    paths: Annotated[list[Path], typer.Argument(help="Film files, or folders of them.", exists=True)],
    label: ClassOption = "",
    dataset: DatasetOption = "default",
    every_frames: Annotated[int | None, typer.Option(help="One frame in so many; 48 unless said.")] = None,
    every_seconds: Annotated[float | None, typer.Option(help="Or one frame in so many seconds.")] = None,
    per_scene: Annotated[int | None, typer.Option(help="Or so many frames of each scene.")] = None,
    width: Annotated[int | None, typer.Option(help="Fit inside this width.")] = None,
    height: Annotated[int | None, typer.Option(help="And inside this height.")] = None,
    crop: Annotated[str, typer.Option(help="Borders: auto, none, or pixels on each side.")] = "auto",
    extra: FieldsOption = None,
    detach: DetachOption = False,
    as_json: console.JsonOption = False,
) -> None:
    """Upload films and take frames out of them, one job a film."""
    jobs: dict[str, JsonObject] = {}
    for film in sorted(found for path in paths for found in _films(path)):
        request = request_of(
            ExtractFramesRequest,
            {
                "dataset": dataset,
                "label": label or class_of(film),
                "title": film.stem[:200],
                "key": "uploads/pending",
                "every_frames": every_frames,
                "every_seconds": every_seconds,
                "per_scene": per_scene,
                "width": width,
                "height": height,
                "crop_borders": int(crop) if crop.isdecimal() else crop,
            },
            extra,
        )
        request.key = client.upload(film).key
        jobs[f"{request.label}/{film.name}"] = client.extract_frames(request)
    if not jobs:
        console.fail("There is no film in there; known endings are " + " ".join(sorted(SUFFIXES)) + ".")
    if detach:
        announce(jobs, as_json=as_json)
        return
    _show(follow(client, jobs), as_json=as_json)


def class_of(film: Path) -> str:
    """Return the name of the folder that a film is named in; a link has its own, not that of what it leads to."""
    return Path(os.path.abspath(film)).parent.name  # noqa: PTH100  resolve() would follow the link


def _films(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    yield from (file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)


def _show(jobs: dict[str, JsonObject], *, as_json: bool) -> None:
    if console.wants_json(as_json):
        console.print_json({name: job["result"] for name, job in jobs.items()})
        return
    table = Table(
        "film",
        "seconds",
        "scenes",
        "seen",
        "kept",
        "duplicates",
        "rejected",
        "crop",
        box=None,
        pad_edge=False,
    )
    for name, job in jobs.items():
        result, counts = job["result"], job["result"]["counts"]
        table.add_row(
            name,
            f"{result['duration_seconds']:.0f}",
            str(result["scenes"]),
            str(counts["seen"]),
            str(counts["kept"]),
            str(counts["exact_duplicates"] + counts["near_duplicates"]),
            reasons({**counts["rejected"], **counts["refused"]}),
            " ".join(map(str, result["crop"])) if any(result["crop"]) else "none",
        )
    console.out.print(table)


def reasons(counts: dict[str, int]) -> str:
    """Return counts by reason in a few words."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "none"


@films.command("list")
@connected
def list_films(
    client: Client,
    dataset: Annotated[str, typer.Option(help="Only this dataset.")] = "",
    as_json: console.JsonOption = False,
) -> None:
    """The films that gave frames, the newest first."""
    rows = list(client.rows("/v1/movies", dataset=dataset))
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table("film", "dataset", "class", "title", "seconds", "scenes", "crop", box=None, pad_edge=False)
    for movie in rows:
        crop = " ".join(map(str, movie["crop"])) if any(movie["crop"]) else "none"
        seconds = f"{movie['duration_seconds']:.0f}"
        table.add_row(
            movie["id"], movie["dataset"], movie["label"], movie["title"], seconds, str(movie["scenes"]), crop
        )
    console.out.print(table if rows else "No films yet; add one with `reel films add`.")
