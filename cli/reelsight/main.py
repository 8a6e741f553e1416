"""``reel``: the command line. Each command parses, calls and shows; the work lies in the API."""

from __future__ import annotations

import sys

import typer

from reel_shared.client import ApiError, Unreachable
from reelsight.commands import console
from reelsight.commands.attention import attention_difference
from reelsight.commands.augment import augment
from reelsight.commands.backups import backup, restore
from reelsight.commands.datasets import dataset
from reelsight.commands.doctor import doctor
from reelsight.commands.explain import explain
from reelsight.commands.explanations import explain_many
from reelsight.commands.films import films
from reelsight.commands.frames import frames
from reelsight.commands.jobs import jobs
from reelsight.commands.keys import keys
from reelsight.commands.models import models
from reelsight.commands.parts import api, migrate, reaper, worker
from reelsight.commands.pictures import pictures
from reelsight.commands.platform import demo, up
from reelsight.commands.predict import predict
from reelsight.commands.queues import queues
from reelsight.commands.report import report
from reelsight.commands.training import train
from reelsight.commands.trainings import trainings
from reelsight.commands.webhooks import webhooks

app = typer.Typer(
    name="reel",
    help="Films and web pictures into a trained, explained and served image classifier.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.command()(demo)
app.command()(doctor)
app.command()(backup)
app.command()(restore)
for part in (migrate, api, worker, reaper):
    app.command()(part)
app.add_typer(films, name="films")
app.add_typer(frames, name="frames")
app.add_typer(pictures, name="pictures")
app.add_typer(augment, name="augment")
app.add_typer(dataset, name="dataset")
app.command()(train)
app.add_typer(trainings, name="trainings")
app.add_typer(models, name="models")
app.add_typer(jobs, name="jobs")
app.add_typer(keys, name="keys")
app.add_typer(queues, name="queues")
app.add_typer(webhooks, name="webhooks")
app.command()(report)
app.command()(predict)
app.command()(explain)
app.command("explain-many")(explain_many)
app.command("attention-difference")(attention_difference)


def main() -> None:
    """Run the command; what goes wrong is told in one line, with an exit code that scripts can use."""
    try:
        app()
    except Unreachable as error:
        console.fail(str(error), code=console.EXIT_UNREACHABLE)
    except ApiError as error:
        console.fail(str(error), code=console.EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(console.EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
