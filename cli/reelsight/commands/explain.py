"""``reel explain``: where the model looked, as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reelsight.commands import console


def explain(
    picture: Annotated[Path, typer.Argument(help="A picture file.", exists=True, dir_okay=False)],
    label: Annotated[
        list[str] | None, typer.Option("--as", help="Explain this label; may be said several times.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("explanations"),
    model: Annotated[str, typer.Option(help="A model's id.")] = "active",
    url: console.UrlOption = "",
    token: console.TokenOption = "",
    data: console.DataOption = console.DEFAULT_DATA,
    as_json: console.JsonOption = False,
) -> None:
    """Draw Grad-CAM and guided backprop for the predicted label, or for the labels named."""
    client = console.client(url=url, token=token, data=data)
    job = client.explain(picture, labels=label or [], model=model)
    job = client.wait(job["id"])
    if job["state"] != "succeeded":
        console.fail((job["error"] or {}).get("detail", f"{job['id']} {job['state']}"))
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for explanation in job["result"]["explanations"]:
        for method in ("gradcam", "guided"):
            if explanation[method]:
                path = out / f"{picture.stem}-{explanation['label']}-{method}.png"
                path.write_bytes(client.download(explanation[method]["url"]))
                files.append({"label": explanation["label"], "method": method, "path": str(path)})
    if console.wants_json(as_json):
        console.print_json({**job["result"], "files": files})
        return
    for file in files:
        console.out.print(f"{file['label']}  {file['method']}  {file['path']}")
