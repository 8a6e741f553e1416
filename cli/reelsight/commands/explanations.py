"""``reel explain-many``: the explanations of many pictures, one folder a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reel_shared.client import Client
from reel_shared.contracts import ExplainPicturesRequest, JsonObject
from reelsight.commands import console
from reelsight.commands.connected import connected, request_of
from reelsight.commands.explain import drawing_options, fetched, files_of
from reelsight.commands.following import follow

RESULTS = "results.jsonl"


@connected
def explain_many(
    client: Client,
    mistakes_in: Annotated[
        str, typer.Option(help="What the model got wrong in: all, movie, web, probe or probe:NAME.")
    ] = "",
    not_sure_in: Annotated[str, typer.Option(help="A prediction job: what it was not sure of.")] = "",
    prefix: Annotated[str, typer.Option(help="Stored pictures whose keys begin so.")] = "",
    key: Annotated[
        list[str] | None, typer.Option(help="A stored picture; may be said several times.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--as", help="Explain this label; each picture's predicted one unless said."),
    ] = None,
    limit: Annotated[int, typer.Option(help="No more pictures than this.", min=1)] = 100,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Any field of the request, such as methods='[\"gradcam\"]'."),
    ] = None,
    model: Annotated[str, typer.Option(help="A model's id.")] = "active",
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("explanations"),
    as_json: console.JsonOption = False,
) -> None:
    """Explain a model's mistakes, what a prediction job was not sure of, a stored folder or a list of pictures."""
    fields = {
        "mistakes_in": mistakes_in or None,
        "not_sure_in": not_sure_in or None,
        "prefix": prefix,
        "keys": key or [],
        "labels": label or [],
        "limit": limit,
        "model": model,
        **drawing_options(option or []),
    }
    job = client.explain_pictures(request_of(ExplainPicturesRequest, fields, None))
    done = follow(client, {"explanations": job})["explanations"]
    out.mkdir(parents=True, exist_ok=True)
    lines = [_keep(client, line, out) for line in client.explanation_results(done["id"])]
    (out / RESULTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    if console.wants_json(as_json):
        console.print_json({**done["result"], "path": str(out / RESULTS)})
        return
    for line in lines:
        if line.get("error"):
            console.err.print(f"{line['key']}: {line['error']['detail']}", highlight=False)
        else:
            shown = f" is {line['actual']}" if line.get("actual") else ""
            called = line["predictions"][0]
            console.out.print(
                f"{line['key']}{shown}, called {called['label']} ({called['probability']:.0%})  {line['folder']}",
                highlight=False,
            )
    left = done["result"]["found"] - done["result"]["count"]
    if left > 0:
        console.err.print(f"{left} more were not explained; raise --limit.", highlight=False)
    if done["result"]["failed"]:
        raise typer.Exit(1)


def _keep(client: Client, line: JsonObject, out: Path) -> JsonObject:
    """Download the files of one picture into a folder named like it, and say where."""
    if line.get("error"):
        return line
    folder = out / Path(line["key"]).stem
    folder.mkdir(exist_ok=True)
    for _about, name, file in files_of(line):
        fetched(client, file, folder / name)
    return {**line, "folder": str(folder)}
