"""``reel pictures copies``: looks for copies in folders before they are uploaded; no platform is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import track
from rich.table import Table
from rich.text import Text

from reel_shared.contracts import JsonObject
from reel_shared.cores import usable_cores
from reelsight.commands import console

if TYPE_CHECKING:
    from reel_ingest.copies import Group, Seen, Skipped

_SHOWN = 50
_NAMED = 3
"""Skipped files that are named for each reason."""


def copies(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders of pictures, or with a folder a class.", exists=True, file_okay=False),
    ],
    distance: Annotated[int, typer.Option(help="Bits of 64 in which near copies differ.", min=0, max=16)] = 6,
    as_json: console.JsonOption = False,
) -> None:
    """Find copies in folders before anything is uploaded."""
    from reel_ingest.copies import Skipped, grouped, look, places  # OpenCV comes with it

    found = list(places(folders))
    looked = track(
        look(found, threads=usable_cores()),
        "Looking at pictures",
        total=len(found),
        console=console.err,
        transient=True,
        disable=not console.err.is_terminal,
    )
    pictures: list[Seen] = []
    skipped: list[Skipped] = []
    for each in looked:
        if isinstance(each, Skipped):
            skipped.append(each)
        else:
            pictures.append(each)
    groups = grouped(pictures, distance=distance)
    answer = _answer(pictures, skipped, groups, distance)
    if console.wants_json(as_json):
        console.print_json(answer)
    elif not found:
        console.out.print(
            f"Nothing to look at: no file lies in {', '.join(map(_shown, folders))}.", markup=False
        )
    else:
        _show(answer)


def _answer(pictures: list[Seen], skipped: list[Skipped], groups: list[Group], distance: int) -> JsonObject:
    more = [member for group in groups for member in group.members[1:]]
    exact = len(pictures) - len({picture.sha256 for picture in pictures})
    return {
        "pictures": len(pictures),
        "distance": distance,
        "exact_copies": exact,
        "near_copies": len(more) - exact,
        "conflicts": sum(group.conflict for group in groups),
        "groups": [
            {
                "conflict": group.conflict,
                "classes": group.labels,
                "keep": str(group.members[0].seen.place.path),
                "files": list(_files(group)),
            }
            for group in groups
        ],
        "skipped": dict(Counter(each.reason for each in skipped).most_common()),
        "skipped_files": [{"path": str(each.path), "reason": each.reason} for each in skipped],
    }


def _files(group: Group) -> Iterator[JsonObject]:
    for seen, kind, bits in group.members:
        yield {
            "path": str(seen.place.path),
            "class": seen.place.label,
            "width": seen.width,
            "height": seen.height,
            "bytes": seen.bytes,
            "kind": kind,
            "bits": bits,
            "bars": seen.phash_with_bars is not None,
        }


def _show(answer: JsonObject) -> None:
    groups = answer["groups"]
    table = Table(box=None, pad_edge=False)
    for heading in ("group", "what", "class", "size"):
        table.add_column(heading, no_wrap=True)
    table.add_column("file", overflow="fold")
    for number, group in enumerate(groups[:_SHOWN], 1):
        title = f"{number} conflict" if group["conflict"] else str(number)
        for file in group["files"]:
            what = file["kind"] + (f", {file['bits']} bits" if file["kind"] in ("near", "negative") else "")
            bars = ", bars" if file["bars"] else ""
            size = f"{file['width']} x {file['height']}"
            # Text, for names of files may look like markup.
            table.add_row(*map(Text, (title, what + bars, _shown(file["class"]), size, _shown(file["path"]))))
            title = ""
    if groups:
        console.out.print(table)
    if len(groups) > _SHOWN:
        console.out.print(f"… and {len(groups) - _SHOWN} groups more; --json has all.", highlight=False)
    for reason, count in answer["skipped"].items():
        names = [_shown(each["path"]) for each in answer["skipped_files"] if each["reason"] == reason]
        rest = ", …" if count > _NAMED else ""
        console.out.print(
            f"Skipped, {reason}: {count} ({', '.join(names[:_NAMED])}{rest})", markup=False, highlight=False
        )
    console.out.print(
        f"{answer['pictures']} pictures: {answer['exact_copies']} exact and {answer['near_copies']} near copies in "
        f"{len(groups)} groups, {answer['conflicts']} of them across classes. Nothing was changed.",
        highlight=False,
    )


def _shown(name: object) -> str:
    """Return a file's name without what a terminal would obey or could not print."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(name))
