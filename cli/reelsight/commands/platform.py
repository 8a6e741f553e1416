"""``reel up`` and ``reel demo``. What they do is imported when they do it: servers, studio and plots take seconds."""

from __future__ import annotations

from typing import Annotated

import typer

from reelsight.commands import console

PortOption = Annotated[
    int | None, typer.Option(help="The port of the API and the pages; the last one, or 8000, unless said.")
]


def up(data: console.DataOption = console.DEFAULT_DATA, port: PortOption = None) -> None:
    """Start the platform, print its address, and keep it running until Ctrl-C."""
    from reelsight.platform.up import run

    run(data, port)


def demo(
    data: console.DataOption = console.DEFAULT_DATA,
    port: PortOption = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Measure the leak gap and see the attention alarm, too; takes longer."),
    ] = False,
) -> None:
    """Run the whole mission on films that the studio renders, and report."""
    from reelsight.demo.run import run

    run(data, port, full=full)
