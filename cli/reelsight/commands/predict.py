"""``reel predict``: what the active model sees in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from reel_shared.client import ApiError, Unreachable
from reelsight.commands import console

Pictures = Annotated[list[Path], typer.Argument(help="Picture files.", exists=True, dir_okay=False)]


def predict(
    pictures: Pictures,
    top: Annotated[int, typer.Option(help="How many labels to show.")] = 3,
    model: Annotated[str, typer.Option(help="A model's id.")] = "active",
    tta: Annotated[int, typer.Option(help="1: let the mirror image count too.", min=0, max=1)] = 0,
    patience: Annotated[
        float | None,
        typer.Option(help="Seconds that each answer is worth waiting for.", min=0.001, max=90_000),
    ] = None,
    url: console.UrlOption = "",
    token: console.TokenOption = "",
    data: console.DataOption = console.DEFAULT_DATA,
    as_json: console.JsonOption = False,
) -> None:
    """Ask the model what is on each picture."""
    client = console.client(url=url, token=token, data=data)
    table = Table("picture", "label", "probability", "", box=None, pad_edge=False)
    refused: list[str] = []
    for picture in pictures:
        try:
            prediction = client.predict(
                picture.read_bytes(), model=model, top_k=top, tta=tta, patience=patience
            )
        except Unreachable:
            raise
        except ApiError as error:
            refused.append(f"{picture}: {error}")
            continue
        if console.wants_json(as_json):
            console.print_json({"picture": str(picture), **prediction})
            continue
        for place, guess in enumerate(prediction["predictions"]):
            unsure = "not sure" if place == 0 and not prediction["confident"] else ""
            table.add_row(
                str(picture) if place == 0 else "", guess["label"], f"{guess['probability']:.1%}", unsure
            )
    if table.row_count:
        console.out.print(table)
    if refused:
        console.fail("\n".join(refused))
