"""``reel trainings``: watch a training, stop it, go on with one that was stopped or failed, train a model further."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reel_shared.client import Client
from reel_shared.contracts import FindLearningRateRequest
from reelsight.commands import console
from reelsight.commands.connected import FieldsOption, connected, request_of
from reelsight.commands.following import announce, follow
from reelsight.commands.training import read_recipe, show_result
from reelsight.commands.watching import sweep_lines, watched

trainings = typer.Typer(
    help="Watch, stop, resume and extend trainings; find a learning rate.", no_args_is_help=True
)
JobId = Annotated[str, typer.Argument(help="The training's job, such as job_01a2….")]


@trainings.command()
@connected
def stop(
    client: Client,
    job_id: JobId,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the epoch's end; what it has learnt is lost.")
    ] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Stop a training after its epoch; `reel trainings resume` goes on with it."""
    job = client.stop_training(job_id, when="now" if now else "epoch")
    if console.wants_json(as_json):
        console.print_json(job)
        return
    when = "It stops now" if now else "It stops when its epoch has ended"
    console.out.print(f"{when}. Go on with `reel trainings resume {job_id}`.", highlight=False)


@trainings.command()
@connected
def resume(
    client: Client,
    job_id: JobId,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the job.")] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Go on with a failed or stopped training from its last checkpoint, as a new job."""
    jobs = {"training": client.resume_training(job_id)}
    if detach:
        announce(jobs, as_json=as_json)
        return
    show_result(follow(client, jobs)["training"]["result"], as_json=as_json)


@trainings.command()
@connected
def extend(
    client: Client,
    job_id: JobId,
    recipe: Annotated[str | None, typer.Option(help="Unless said, the recipe it was trained by.")] = None,
    version: Annotated[
        str | None, typer.Option(help="Another dataset version with the same classes.")
    ] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Serve the model when it is done.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the job.")] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Train a finished training's model further; the result is a new model."""
    wishes = {"recipe": recipe, "dataset_version_id": version}
    fields = {name: value for name, value in wishes.items() if value is not None}
    jobs = {"training": client.extend_training(job_id, **fields, activate=activate)}
    if detach:
        announce(jobs, as_json=as_json)
        return
    show_result(follow(client, jobs)["training"]["result"], as_json=as_json)


@trainings.command()
@connected
def watch(client: Client, job_id: JobId, as_json: console.JsonOption = False) -> None:
    """Draw a training's losses, accuracy, rates and time left; JSON lines when piped."""
    watched(client, job_id, as_json=as_json)


@trainings.command("find-lr")
@connected
def find_lr(
    client: Client,
    version: Annotated[str, typer.Argument(help="A dataset version's id, such as dsv_01a2….")],
    recipe: Annotated[str, typer.Option(help="A recipe that ships.")] = "article",
    recipe_file: Annotated[Path | None, typer.Option(help="A recipe of your own, as YAML.")] = None,
    stage: Annotated[str, typer.Option(help="A stage of the recipe; the first unless said.")] = "",
    seed: Annotated[int, typer.Option(help="Of the sweep.")] = 42,
    extra: FieldsOption = None,
    as_json: console.JsonOption = False,
) -> None:
    """Try rising learning rates on a stage for a few steps, and say which to take; no weights are kept."""
    fields = {
        "dataset_version_id": version,
        "recipe": recipe if recipe_file is None else read_recipe(recipe_file),
        "stage": stage,
        "seed": seed,
    }
    jobs = {"sweep": client.find_learning_rate(request_of(FindLearningRateRequest, fields, extra))}
    result = follow(client, jobs)["sweep"]["result"]
    if console.wants_json(as_json):
        console.print_json(result)
        return
    for line in sweep_lines(result, width=console.out.width):
        console.out.print(line, highlight=False)
