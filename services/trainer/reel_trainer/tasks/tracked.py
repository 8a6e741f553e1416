"""Lets MLflow hear of a training where the settings name one; called by ``trainings``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from reel_shared.contracts import TrainModelRequest, TrainModelResult
from reel_shared.errors import Canceled, ReelError
from reel_shared.runner import Context
from reel_shared.settings import settings
from reel_trainer.recipe import Recipe
from reel_trainer.tracking import Status, Tracking

log = structlog.get_logger(__name__)


@contextmanager
def tracked(context: Context, request: TrainModelRequest, recipe: Recipe) -> Iterator[Tracking | None]:
    """Open a run that ends as the training does; None where nobody is to be told.

    A run whose training goes on elsewhere stays open: the next attempt finds it.
    """
    wanted = settings().trainer
    if not wanted.mlflow_uri:
        yield None
        return
    tracking = Tracking(wanted.mlflow_uri, wanted.mlflow_experiment, context.job_id)
    tracking.begin(recipe, {"dataset_version_id": request.dataset_version_id, "seed": request.seed})
    try:
        yield tracking
    except Canceled:
        _close(tracking, "KILLED")
        raise
    except ReelError:
        _close(tracking, "FAILED")
        raise


def tell_result(tracking: Tracking, result: TrainModelResult) -> TrainModelResult:
    """Close the run with the model's figures and the keys of its files; a failure becomes a note of the result."""
    figures = {
        f"final.{name.replace(':', '.')}.accuracy": metrics.accuracy
        for name, metrics in result.metrics.items()
    }
    tags = {f"reelsight.file.{name}": file.key for name, file in result.files.items()}
    note = tracking.end("FINISHED", metrics=figures, tags={"reelsight.model_id": result.model_id, **tags})
    return result if note is None else result.model_copy(update={"notes": [*result.notes, note]})


def _close(tracking: Tracking, status: Status) -> None:
    note = tracking.end(status)
    if note is not None:
        log.warning("mlflow.failed", note=note)
