"""``reel report``: how a model was trained and judged, as a page or as figures."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from reel_shared.client import Client
from reelsight.commands import console
from reelsight.commands.connected import connected


@connected
def report(
    client: Client,
    of: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="A training's job, a model's id, or active.")
    ] = "active",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it.", dir_okay=False)
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Its figures instead of the page.")] = False,
) -> None:
    """Write the report of a training: figures, mistakes, heat maps, curves, in one HTML file."""
    model = _model(client, of)
    if as_json:
        figures = client.report_figures(model)
        if output is None:
            console.print_json(figures)
            return
        path = _written(output, json.dumps(figures, indent=2).encode())
    else:
        path = _written(output or Path(f"report-{model}.html"), client.report(model))
    console.out.print(str(path), highlight=False, soft_wrap=True)
    if open_it:
        webbrowser.open(path.resolve().as_uri())


def _model(client: Client, of: str) -> str:
    """Return the model that is meant; a training that made none ends the command."""
    if not of.startswith("job_"):
        return str(client.model(of)["id"])
    job = client.job(of)
    made = (job["result"] or {}).get("model_id")
    if made is None:
        console.fail(
            f"{of} ({job['kind']}) is {job['state']} and has made no model; a report comes with one."
        )
    return str(made)


def _written(path: Path, content: bytes) -> Path:
    try:
        path.write_bytes(content)
    except OSError as error:
        console.fail(f"{path} cannot be written: {error.strerror}.")
    return path
