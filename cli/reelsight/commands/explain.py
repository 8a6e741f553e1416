"""``reel explain``: where the model looked, as PNG files and arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from reel_shared.client import Client
from reel_shared.contracts import ExplanationOptions, JsonObject
from reelsight.commands import console
from reelsight.commands.following import attended

METHODS = ("gradcam", "guided", "guided_backprop")


class MethodName(StrEnum):
    GRADCAM = "gradcam"
    GUIDED = "guided"
    GUIDED_BACKPROP = "guided_backprop"


class OutputName(StrEnum):
    OVERLAY = "overlay"
    NPY = "npy"
    JSON = "json"
    PANEL = "panel"
    ANIMATION = "animation"


def explain(
    picture: Annotated[Path, typer.Argument(help="A picture file.", exists=True, dir_okay=False)],
    label: Annotated[
        list[str] | None, typer.Option("--as", help="Explain this label; may be said several times.")
    ] = None,
    versus: Annotated[
        str, typer.Option("--vs", help="Draw how the heat of this label differs from the first one's.")
    ] = "",
    actual: Annotated[
        str | None, typer.Option(help="What it shows: explained too where the model says otherwise.")
    ] = None,
    method: Annotated[
        list[MethodName] | None, typer.Option("--method", help="May be said several times.")
    ] = None,
    output: Annotated[
        list[OutputName] | None, typer.Option("--output", help="May be said several times.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Any field of the request, such as alpha=0.5 or colormap=jet."),
    ] = None,
    features: Annotated[
        int, typer.Option(help="So many channels of the last feature map.", min=0, max=64)
    ] = 0,
    faithfulness: Annotated[bool, typer.Option(help="Also judge the maps; takes seconds.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("explanations"),
    model: Annotated[str, typer.Option(help="A model's id.")] = "active",
    url: console.UrlOption = "",
    token: console.TokenOption = "",
    data: console.DataOption = console.DEFAULT_DATA,
    as_json: console.JsonOption = False,
) -> None:
    """Draw Grad-CAM and guided backprop for the predicted label, or for the labels named."""
    options = drawing_options(option or [])
    if method:
        options["methods"] = [one.value for one in method]
    if output:
        options["outputs"] = [one.value for one in output]
    if features:
        options["features"] = features
    if versus:
        options["difference"] = True
    if faithfulness:
        options["faithfulness"] = True
    labels = [*(label or []), *([versus] if versus else [])]
    if versus and len(labels) < 2:
        console.fail(
            "--vs needs the label that it is set against: name it with --as.", code=console.EXIT_USAGE
        )
    client = console.client(url=url, token=token, data=data)
    job = client.explain(picture, labels=labels, model=model, actual=actual, **options)
    job_id = job["id"]
    job = attended(client, lambda: client.wait(job_id), live=lambda: [job_id])
    if job["state"] != "succeeded":
        console.fail((job["error"] or {}).get("detail", f"{job_id} {job['state']}"))
    out.mkdir(parents=True, exist_ok=True)
    files = [
        {**about, "path": str(fetched(client, file, out / f"{picture.stem}-{name}"))}
        for about, name, file in files_of(job["result"])
    ]
    if console.wants_json(as_json):
        console.print_json({**job["result"], "files": files})
        return
    for file in files:
        console.out.print(f"{file['label'] or '-'}  {file['method']}  {file['path']}")
    for one in job["result"]["explanations"]:
        for name, found in one["faithfulness"].items():
            areas = f"deletion {found['deletion_area']:.2f}, insertion {found['insertion_area']:.2f}"
            depends = "depends" if found["depends_on_weights"] else "does not depend"
            console.out.print(f"{one['label']}  {name}  {areas}, {depends} on the weights")


def drawing_options(spoken: list[str]) -> dict[str, Any]:
    """Return the request's fields that ``name=value`` items set. A value is JSON, or else taken as text."""
    found: dict[str, Any] = {}
    for item in spoken:
        name, separator, value = item.partition("=")
        if not separator:
            console.fail(f"{item!r} is no option: write name=value.", code=console.EXIT_USAGE)
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    try:
        ExplanationOptions.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        console.fail(
            f"{where}: {first['msg']}. The options are {', '.join(ExplanationOptions.model_fields)}.",
            code=console.EXIT_USAGE,
        )
    return found


def files_of(result: JsonObject) -> Iterator[tuple[JsonObject, str, JsonObject]]:
    """Yield what each file of a result is, a name for it without a suffix, and the file.

    A job's result names what there is none of as null; a line of a batch leaves it out.
    """
    for one in result["explanations"]:
        for method in METHODS:
            about = {"label": one["label"], "method": method}
            for file in (one.get(method), one.get("arrays", {}).get(method)):
                if file:
                    yield about, f"{one['label']}-{method}", file
        if one.get("faithfulness_plot"):
            about = {"label": one["label"], "method": "faithfulness"}
            yield about, f"{one['label']}-faithfulness", one["faithfulness_plot"]
    if result.get("difference"):
        first, second = result["difference"]["labels"]
        for name in ("picture", "array"):
            about = {"label": first, "method": f"less {second}"}
            yield about, f"{first}-less-{second}", result["difference"][name]
    for sheet in result.get("features", []):
        about = {"label": sheet.get("label"), "method": "features"}
        yield about, f"{sheet.get('label') or 'active'}-features", sheet["picture"]
    for name in ("panel", "animation"):
        if result.get(name):
            yield {"label": None, "method": name}, name, result[name]


def fetched(client: Client, file: JsonObject, path: Path) -> Path:
    """Download a stored file under the suffix of its key."""
    whole = path.with_name(path.name + Path(file["key"]).suffix)
    whole.write_bytes(client.download(file["url"]))
    return whole
