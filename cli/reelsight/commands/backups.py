"""``reel backup`` and ``reel restore``: all of the platform on this machine in one folder, and back."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from reel_shared.errors import ReelError
from reelsight.commands import console


def backup(
    folder: Annotated[Path, typer.Argument(help="Where to; a second time it copies only what is new.")],
    data: console.DataOption = console.DEFAULT_DATA,
) -> None:
    """Back up the data folder of `reel up`, which may be running: database, pictures, models."""
    from reel_shared import backup as backups
    from reelsight.platform.standing import standing

    _quiet()
    try:
        with standing(data):
            console.print_json(backups.summary(backups.save(folder)))
    except (ReelError, OSError, RuntimeError) as error:
        console.fail(str(error))


def restore(
    folder: Annotated[Path, typer.Argument(help="What `reel backup` made.")],
    data: console.DataOption = console.DEFAULT_DATA,
) -> None:
    """Make a new data folder from a backup, every file compared with its hash; then `reel up --data` runs on it."""
    from reel_shared import backup as backups
    from reelsight.platform.standing import standing

    _quiet()
    try:
        with standing(data, fresh=True):
            console.print_json(backups.summary(backups.restore(folder)))
    except (ReelError, OSError, RuntimeError) as error:
        console.fail(str(error))


def _quiet() -> None:
    """Leave standard output to the result."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
