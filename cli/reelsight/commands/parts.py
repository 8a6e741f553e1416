"""``reel migrate``, ``reel api``, ``reel worker``, ``reel reaper``: one part of a platform that is split, by its
settings (`REEL_…`). Each becomes the module that a service's image runs too."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated, NoReturn

import typer

from reelsight.commands import console


class Worker(StrEnum):
    """Every queue has one service, whose name it bears."""

    INGEST = "ingest"
    AUGMENT = "augment"
    TRAINER = "trainer"
    INFERENCE = "inference"
    EXPLAINER = "explainer"


class Api(StrEnum):
    INGEST = "ingest"
    AUGMENT = "augment"
    TRAINER = "trainer"
    INFERENCE = "inference"
    EXPLAINER = "explainer"
    WEB = "web"
    ALL = "all"


def migrate(as_json: console.JsonOption = False) -> None:
    """Bring the database of the settings (REEL_DATABASE__URL) to the newest schema; `reel up` does it itself."""
    from sqlalchemy.exc import OperationalError

    from reel_shared.db.engine import engine
    from reel_shared.db.migrate import migrate as upgrade
    from reel_shared.errors import ReelError

    try:
        before, after = upgrade()
    except ReelError as error:
        console.fail(error.detail)
    except OperationalError as error:
        console.fail(
            f"The database does not let us in; correct REEL_DATABASE__URL. It said: {error.orig}",
            code=console.EXIT_UNREACHABLE,
        )
    where = engine().url.render_as_string(hide_password=True)
    if console.wants_json(as_json):
        console.print_json({"database": where, "from": before, "to": after})
        return
    words = (
        f"is at revision {after} already" if before == after else f"went from {before or 'empty'} to {after}"
    )
    console.out.print(f"{where} {words}.", highlight=False, soft_wrap=True)


def api(
    service: Annotated[
        Api,
        typer.Argument(help="ingest, augment, trainer, inference, explainer, web, or all in one process."),
    ],
) -> None:
    """Serve a service's API on REEL_WEB__HOST and REEL_WEB__PORT until Ctrl-C."""
    _become("reelsight.platform.server" if service is Api.ALL else f"reel_{service}.server")


def worker(
    service: Annotated[Worker, typer.Argument(help="ingest, augment, trainer, inference or explainer.")],
) -> None:
    """Do a service's jobs, one after another, until Ctrl-C; start as many as shall work at once."""
    _become(f"reel_{service}.worker")


def reaper() -> None:
    """Send jobs to their queues again where that failed, and give back what dead workers held; one is enough."""
    _become("reel_shared.outbox")


def _become(module: str) -> NoReturn:
    """Replace this process by the module's, so that signals and a supervisor meet the part itself."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606 - no shell is wanted
