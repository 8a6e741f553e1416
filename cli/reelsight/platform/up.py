"""What ``reel up`` does: the whole platform on this machine until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from reel_shared.embedded.server import ServerFailed
from reelsight.commands import console
from reelsight.platform.stack import Stack


def run(data: Path, port: int | None) -> None:
    """Start the platform, print its address, and keep it running until SIGINT or SIGTERM."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        with Stack(data, port=port, say=lambda line: console.err.print(f"[yellow]{line}[/]")) as stack:
            show_address(stack)
            stopping.wait()
            console.err.print("Stopping: running jobs finish or go back to their queue …")
    except (ServerFailed, OSError, TimeoutError) as error:
        console.fail(str(error))


def show_address(stack: Stack) -> None:
    console.out.print(f"\n  [bold]Reelsight[/] is up: [link={stack.access.url}]{stack.access.url}[/link]")
    console.out.print(
        f"  API key    {stack.data / 'client.json'} (the `reel` commands find it by themselves)"
    )
    console.out.print(f"  logs       {stack.data / 'logs'}")
    console.out.print("  Ctrl-C stops every process; the data stays.\n")
