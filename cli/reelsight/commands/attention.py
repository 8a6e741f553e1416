"""``reel attention-difference``: where two models look in the same pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import CompareAttentionRequest
from reelsight.commands import console
from reelsight.commands.connected import connected, request_of
from reelsight.commands.following import follow


@connected
def attention_difference(
    client: Client,
    before: Annotated[str, typer.Argument(help="A model's id, or active.")],
    after: Annotated[str, typer.Argument(help="The model to compare with it.")],
    probe: Annotated[str, typer.Option(help="A probe set; the validation pictures unless said.")] = "",
    source: Annotated[str, typer.Option(help="movie or web; both unless said.")] = "",
    label: Annotated[str, typer.Option(help="One class; all that both know unless said.")] = "",
    version: Annotated[str, typer.Option(help="A dataset version; the second model's unless said.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("attention"),
    as_json: console.JsonOption = False,
) -> None:
    """Compare where two models look in the same held-out pictures, one PNG a class."""
    fields = {
        "models": (before, after),
        "dataset_version_id": version or client.model(after)["dataset_version_id"],
        "probe": probe,
        "source": source,
        "label": label,
    }
    job = client.compare_attention(request_of(CompareAttentionRequest, fields, None))
    found = follow(client, {"attention": job})["attention"]["result"]
    out.mkdir(parents=True, exist_ok=True)
    table = Table("class", "pictures", "accuracy", "", "at the edge", "", "drawn", box=None, pad_edge=False)
    for each in found["classes"]:
        path = out / f"{each['label']}.png"
        path.write_bytes(client.download(each["picture"]["url"]))
        each["path"] = str(path)
        accuracy = [f"{look['accuracy']:.0%}" for look in each["looks"]]
        edge = ["–" if look["ring_share"] is None else f"{look['ring_share']:.0%}" for look in each["looks"]]
        table.add_row(
            each["label"],
            str(each["images"]),
            accuracy[0],
            f"→ {accuracy[1]}",
            edge[0],
            f"→ {edge[1]}",
            str(path),
        )
    if console.wants_json(as_json):
        console.print_json(found)
        return
    console.out.print(table)
