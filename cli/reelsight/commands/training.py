"""``reel train``: a model out of a dataset version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import JsonObject, Recipe, TrainModelRequest
from reel_shared.errors import ReelError
from reel_trainer.recipe import parse_recipe
from reelsight.commands import console
from reelsight.commands.connected import FieldsOption, connected, request_of
from reelsight.commands.following import announce, follow
from reelsight.commands.watching import watched


@connected
def train(
    client: Client,
    version: Annotated[str, typer.Argument(help="A dataset version's id, such as dsv_01a2….")],
    recipe: Annotated[str, typer.Option(help="article, article-final, demo or quick.")] = "article",
    recipe_file: Annotated[
        Path | None, typer.Option(help="A recipe of your own, as YAML, in place of one that ships.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Where to start: those of the recipe unless said.")] = "recipe",
    seed: Annotated[int, typer.Option(help="Of the training.")] = 42,
    activate: Annotated[
        bool, typer.Option("--activate", help="Serve the model when it is done, if its gates pass.")
    ] = False,
    extra: FieldsOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw its curves as they come; JSON lines when piped.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the job.")] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Train a model; Ctrl-C asks whether to detach from the training or to cancel it."""
    fields = {
        "dataset_version_id": version,
        "recipe": recipe if recipe_file is None else read_recipe(recipe_file),
        "weights": weights,
        "seed": seed,
        "activate": activate,
    }
    jobs = {"training": client.train_model(request_of(TrainModelRequest, fields, extra))}
    if detach:
        announce(jobs, as_json=as_json)
        return
    if watch:
        job = watched(client, jobs["training"]["id"], as_json=as_json)
        if not console.wants_json(as_json):
            show_result(job["result"], as_json=as_json)
        return
    show_result(follow(client, jobs)["training"]["result"], as_json=as_json)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe's file; ends the command with the first thing that is wrong with it."""
    try:
        return parse_recipe(path.read_text())
    except ReelError as error:
        console.fail(f"{path}: {error.detail}", code=console.EXIT_USAGE)
    except (OSError, UnicodeDecodeError) as error:
        console.fail(f"{path} cannot be read: {error}", code=console.EXIT_USAGE)


def show_result(result: JsonObject, *, as_json: bool) -> None:
    """Print what a training gave."""
    if console.wants_json(as_json):
        console.print_json(result)
        return
    console.out.print(_metrics(result["metrics"]))
    console.out.print(
        f"{result['model_id']}: {result['architecture']}, {result['precision']} on {result['device']}, "
        f"{result['seconds']:.0f} s.",
        highlight=False,
    )
    for note in result.get("notes", []):
        console.out.print(note, highlight=False, markup=False)


def _metrics(metrics: JsonObject) -> Table:
    table = Table(
        "judged on",
        "pictures",
        "accuracy",
        "95 %",
        "augmented",
        "macro F1",
        "top 3",
        "calibration",
        box=None,
        pad_edge=False,
    )
    for name, figures in metrics.items():
        if name.startswith("tta:"):
            continue  # a column of the row that it belongs to
        interval = figures.get("accuracy_interval")
        between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
        others = [figures.get(field) for field in ("macro_f1", "top3_accuracy", "calibration_error")]
        augmented = metrics.get(f"tta:{name}", {}).get("accuracy")
        shown = ["" if value is None else f"{value:.3f}" for value in (augmented, *others)]
        table.add_row(name, str(figures["images"]), f"{figures['accuracy']:.3f}", between, *shown)
    return table
