"""What all commands share: where to print, how to fail, and how to reach the platform."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from reel_shared.client import Client, Unreachable

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130

PIPED_WIDTH = 120
PATIENCE_SECONDS = 5.0
"""A person waits less long than a script for a platform that does not answer."""
out = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True)

DataOption = Annotated[
    Path,
    typer.Option("--data", help="The platform's data folder.", envvar="REEL_DATA_DIR", show_default=True),
]
UrlOption = Annotated[
    str,
    typer.Option("--url", help="The platform's address; that of `reel up` unless said.", envvar="REEL_URL"),
]
TokenOption = Annotated[
    str, typer.Option("--token", help="An API key; that of `reel up` unless said.", envvar="REEL_TOKEN")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, as when the output is piped.")]
DEFAULT_DATA = Path(".data")


def fail(sentence: str, *, code: int = EXIT_FAILED) -> NoReturn:
    err.print(f"[bold red]reel:[/] {sentence}", highlight=False, soft_wrap=True)
    sys.exit(code)


def wants_json(flag: bool) -> bool:
    return flag or not sys.stdout.isatty()


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=None if not sys.stdout.isatty() else 2) + "\n")


def print_line(value: Any) -> None:
    """Print one JSON object on a line of its own, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def client(*, url: str, token: str, data: Path) -> Client:
    """Return a client of the platform named by ``url`` and ``token``, or of the one `reel up` runs on ``data``.

    Raises:
        Unreachable: neither is known.
    """
    if not url:
        path = data / "client.json"
        if not path.exists():
            raise Unreachable(
                {
                    "detail": f"No platform is known in {data}. Start one with `reel up`, or use --url and --token."
                }
            )
        known = json.loads(path.read_text())
        url, token = known["url"], token or known["token"]
    return Client(url, token, patience=PATIENCE_SECONDS)
