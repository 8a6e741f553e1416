"""``reel dataset``: versions of a dataset, split and certified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import (
    BuildDatasetVersionRequest,
    CheckLabelsRequest,
    ExportDatasetRequest,
    ImportDatasetRequest,
    JsonObject,
    MeasureLeakGapRequest,
)
from reel_shared.contracts.versions import SplitPinRequest
from reelsight.commands import console
from reelsight.commands.archives import check_place, uploaded
from reelsight.commands.connected import FieldsOption, connected, request_of
from reelsight.commands.films import DatasetOption, DetachOption, reasons
from reelsight.commands.following import announce, follow

dataset = typer.Typer(help="Build dataset versions and look at them.", no_args_is_help=True)
VersionId = Annotated[str, typer.Argument(help="A dataset version's id, such as dsv_01a2….")]


@dataset.command()
@connected
def build(
    client: Client,
    name: DatasetOption = "default",
    sources: Annotated[str, typer.Option(help="Train on movie, web, or both.")] = "movie,web",
    valid: Annotated[float, typer.Option(help="Share of pictures held out.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 42,
    extra: FieldsOption = None,
    as_json: console.JsonOption = False,
) -> None:
    """Split a dataset as it stands into train and validation, and certify that nothing leaks."""
    fields = {
        "dataset": name,
        "train_sources": [source.strip() for source in sources.split(",")],
        "valid_fraction": valid,
        "seed": seed,
    }
    job = client.build_dataset_version(request_of(BuildDatasetVersionRequest, fields, extra))
    result = follow(client, {name: job})[name]["result"]
    if console.wants_json(as_json):
        console.print_json(result)
        return
    _show(result["dataset_version_id"], result["images"], result["certificate"])


def _show(version_id: str, images: JsonObject, certificate: JsonObject) -> None:
    sources = sorted({source for by_source in images.values() for source in by_source})
    labels = sorted(
        {label for by_source in images.values() for counts in by_source.values() for label in counts}
    )
    columns = [(side, source) for side in images for source in sources if source in images[side]]
    table = Table("class", *(f"{side} {source}" for side, source in columns), box=None, pad_edge=False)
    for label in labels:
        table.add_row(label, *(str(images[side][source].get(label, 0)) for side, source in columns))
    console.out.print(table)
    good = certificate["certified"]
    word = "[green]certified[/]: nothing crosses" if good else "[bold red]NOT CERTIFIED[/]: pictures leak"
    console.out.print(f"{version_id} is {word}; {certificate['groups']} groups.", highlight=False)
    for warning in certificate["warnings"]:
        console.out.print(f"[yellow]![/] {warning}", highlight=False)


@dataset.command("list")
@connected
def list_versions(
    client: Client,
    name: Annotated[str, typer.Option("--dataset", help="Only this dataset.")] = "",
    as_json: console.JsonOption = False,
) -> None:
    """The dataset versions, the newest first."""
    rows = list(client.rows("/v1/dataset-versions", dataset=name))
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table("version", "dataset", "classes", "certified", "created", box=None, pad_edge=False)
    for row in rows:
        certified = "yes" if row["certificate"]["certified"] else "no"
        created = row["created_at"][:19]
        table.add_row(row["id"], row["dataset"], str(len(row["classes"])), certified, created)
    console.out.print(table if rows else "No dataset version yet; build one with `reel dataset build`.")


@dataset.command()
@connected
def show(client: Client, version: VersionId, as_json: console.JsonOption = False) -> None:
    """One version: what lies where, and its certificate."""
    row = client.dataset_version(version)
    if console.wants_json(as_json):
        console.print_json(row)
        return
    _show(row["id"], row["images"], row["certificate"])


@dataset.command()
@connected
def diff(
    client: Client,
    version: VersionId,
    base: Annotated[str, typer.Option(help="The version to compare with.")],
    as_json: console.JsonOption = False,
) -> None:
    """What changed from one version to another."""
    found = client.diff_versions(version, base=base)
    if console.wants_json(as_json):
        console.print_json(found)
        return
    counts = ", ".join(f"{count} {what}" for what, count in found["counts"].items())
    console.out.print(f"{base} to {version}: {counts}.", highlight=False)
    for word, labels in (("new", found["classes_added"]), ("gone", found["classes_removed"])):
        if labels:
            console.out.print(f"{word} classes: {', '.join(labels)}", highlight=False)
    table = Table("class", "train", "", "valid", "", box=None, pad_edge=False)
    for label, counted in found["by_class"].items():
        columns = ("train_before", "train_after", "valid_before", "valid_after")
        before = [str(counted[column]) for column in columns]
        table.add_row(label, before[0], f"→ {before[1]}", before[2], f"→ {before[3]}")
    console.out.print(table)


@dataset.command()
@connected
def pin(
    client: Client,
    side: Annotated[str, typer.Argument(help="train, valid or excluded.")],
    name: DatasetOption = "default",
    film: Annotated[str, typer.Option(help="A film's id, with --scene, or with --from and --to.")] = "",
    scene: Annotated[int | None, typer.Option(help="The scene's number in the film.")] = None,
    start: Annotated[float | None, typer.Option("--from", help="Seconds into the film.")] = None,
    end: Annotated[float | None, typer.Option("--to", help="Seconds; no longer part of it.")] = None,
    picture: Annotated[str, typer.Option(help="Or one picture's id.")] = "",
    as_json: console.JsonOption = False,
) -> None:
    """Put a scene, a stretch of a film or a picture on a side, from the next version on."""
    fields = {
        "dataset": name,
        "side": side,
        "movie_id": film,
        "scene": scene,
        "start_seconds": start,
        "end_seconds": end,
        "image_id": picture,
    }
    row = client.pin_split(request_of(SplitPinRequest, fields, None))
    if console.wants_json(as_json):
        console.print_json(row)
        return
    console.out.print(
        f"{row['id']}: {_pinned(row)} to {row['side']}. To take it away: reel dataset unpin {row['id']}",
        highlight=False,
    )


@dataset.command()
@connected
def pins(
    client: Client,
    name: Annotated[str, typer.Option("--dataset", help="Only this dataset.")] = "",
    as_json: console.JsonOption = False,
) -> None:
    """What was put on a side by hand, the newest first."""
    rows = list(client.split_pins(dataset=name))
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table("pin", "dataset", "side", "what", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["id"], row["dataset"], row["side"], _pinned(row))
    console.out.print(table if rows else "Nothing is pinned.")


def _pinned(row: JsonObject) -> str:
    if row["image_id"]:
        return str(row["image_id"])
    if row["scene"] is not None:
        return f"{row['movie_id']} scene {row['scene']}"
    return f"{row['movie_id']} {row['start_seconds']:g} to {row['end_seconds']:g} s"


@dataset.command()
@connected
def unpin(
    client: Client,
    pin_id: Annotated[str, typer.Argument(metavar="PIN", help="A pin's id, such as pin_01a2….")],
) -> None:
    """Take a pin away; versions that stand keep their sides."""
    client.unpin_split(pin_id)
    console.out.print(f"{pin_id} is gone.", highlight=False)


@dataset.command("leak-gap")
@connected
def leak_gap(
    client: Client,
    name: DatasetOption = "default",
    recipe: Annotated[str, typer.Option(help="What is trained, twice.")] = "leak-gap",
    seed: Annotated[int, typer.Option(help="Of splits and trainings.")] = 42,
    extra: FieldsOption = None,
    as_json: console.JsonOption = False,
) -> None:
    """Measure how much better a random split would make a model look."""
    request = request_of(MeasureLeakGapRequest, {"dataset": name, "recipe": recipe, "seed": seed}, extra)
    found = follow(client, {name: client.measure_leak_gap(request)})[name]["result"]
    if console.wants_json(as_json):
        console.print_json(found)
        return
    table = Table("split", "pictures", "accuracy", box=None, pad_edge=False)
    for split in ("random", "groups"):
        table.add_row(split, str(found[split]["images"]), f"{found[split]['accuracy']:.3f}")
    console.out.print(table)
    low, high = found["gap_interval"]
    console.out.print(
        f"A random split pretends {100 * found['gap']:+.1f} points (95 %: {100 * low:+.1f} to {100 * high:+.1f}); "
        f"{found['neighbours']:.0%} of its validation pictures have neighbours that are trained on.",
        highlight=False,
    )


@dataset.command("check-labels")
@connected
def check_labels(
    client: Client,
    version: VersionId,
    model: Annotated[str, typer.Option(help="The model whose network looks at the pictures.")] = "active",
    show: Annotated[int, typer.Option(help="How many proposals to show.")] = 20,
    as_json: console.JsonOption = False,
) -> None:
    """Propose pictures that are probably filed under a wrong class."""
    request = CheckLabelsRequest(dataset_version_id=version, model=model)
    found = follow(client, {version: client.check_labels(request)})[version]["result"]
    lines = client.download(found["proposals"]["url"]).splitlines()
    proposals = [json.loads(line) for line in lines]
    if console.wants_json(as_json):
        console.print_json({**found, "doubts": proposals})
        return
    table = Table("picture", "class", "looks like", "sure", "source", box=None, pad_edge=False)
    for doubt in proposals[:show]:
        sure = f"{doubt['confidence']:.0%}"
        source = doubt["style"] or doubt["source"]
        table.add_row(doubt["id"], doubt["label"], doubt["suggested"], sure, source)
    console.out.print(table if proposals else "No label is doubtful.")
    console.out.print(f"{found['doubtful']} of {found['images']} pictures are doubtful.", highlight=False)


@dataset.command()
@connected
def export(
    client: Client,
    version: VersionId,
    out: Annotated[Path, typer.Option(help="The zip to write.")] = Path("dataset.zip"),
    pictures: Annotated[bool, typer.Option(help="Or the tables only.")] = True,
    variants: Annotated[bool, typer.Option(help="The variants that are trained on, too.")] = True,
    as_json: console.JsonOption = False,
) -> None:
    """Write a version as a zip that fastai, Hugging Face and spreadsheets read."""
    request = ExportDatasetRequest(dataset_version_id=version, pictures=pictures, variants=variants)
    found = follow(client, {version: client.export_dataset(request)})[version]["result"]
    client.save(found["archive"]["url"], out)
    if console.wants_json(as_json):
        console.print_json({**found, "path": str(out)})
        return
    counts = ", ".join(f"{count} in {folder}" for folder, count in found["images"].items())
    console.out.print(f"{out}: {counts}.", highlight=False)


@dataset.command("import")
@connected
def import_dataset(
    client: Client,
    path: Annotated[
        Path,
        typer.Argument(
            help="A zip or a folder: an export, a folder a class, or pictures with a table.", exists=True
        ),
    ],
    name: DatasetOption = "default",
    style: Annotated[str, typer.Option(help="Of pictures whose table names none.")] = "",
    licence: Annotated[str, typer.Option(help="Of pictures whose table names none.")] = "",
    sides: Annotated[bool, typer.Option(help="Keep the split that it comes with, by pins.")] = True,
    augment: Annotated[bool, typer.Option(help="Make the six variants of the web pictures.")] = True,
    extra: FieldsOption = None,
    detach: DetachOption = False,
    as_json: console.JsonOption = False,
) -> None:
    """Bring a dataset in: classes, licences, scenes and sides as its folders and tables say."""
    check_place(path)
    fields = {
        "dataset": name,
        "key": "uploads/pending",
        "style": style,
        "licence": licence,
        "keep_sides": sides,
        "augment": augment,
    }
    request = request_of(ImportDatasetRequest, fields, extra)
    request.key = uploaded(client, path)
    job = client.import_dataset(request)
    if detach:
        announce({name: job}, as_json=as_json)
        return
    found = follow(client, {name: job})[name]["result"]
    if console.wants_json(as_json):
        console.print_json(found)
        return
    show_import(found)


def show_import(found: JsonObject) -> None:
    """Print what an import brought, in a few lines."""
    table = Table("class", "kept", box=None, pad_edge=False)
    for label, kept in found["classes"].items():
        table.add_row(label, str(kept))
    console.out.print(table)
    counts = found["counts"]
    copies = counts["exact_duplicates"] + counts["near_duplicates"]
    console.out.print(
        f"{counts['seen']} seen, {counts['kept']} kept, {copies} copies, {counts['conflicts']} conflicts; "
        f"rejected: {reasons(counts['rejected'])}; refused: {reasons(counts['refused'])}.",
        highlight=False,
    )
    sides = ", ".join(f"{count} {side or 'on no side'}" for side, count in found["sides"].items())
    console.out.print(f"Sides: {sides or 'none'}, held by {found['pins']} pins.", highlight=False)
    if found["variants_left_out"]:
        console.out.print(f"{found['variants_left_out']} variants were left out; they are made again.")
    for label, before in found["renamed"].items():
        console.out.print(f"The class {before!r} is called {label} here.", highlight=False, markup=False)
    for note in found["notes"]:
        console.out.print(note, highlight=False, markup=False)
