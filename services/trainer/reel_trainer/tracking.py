"""Tells MLflow of a training, where that is wanted. What goes wrong there is noted and never the training's fault.

Called by ``tasks``. Calls run in a thread of their own: a server that does not answer holds nothing up.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from reel_shared import threads
from reel_trainer.recipe import Recipe

PATIENCE_SECONDS = 20.0
"""For so long an ended training waits until its last figures have arrived."""
JOB = "reelsight.job_id"
MOST_CHARACTERS = 5000
"""Of a parameter; MLflow takes 6000."""
Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracking:
    """One run of MLflow. It is found again by its job's id, so that a later attempt goes on with it."""

    def __init__(self, uri: str, experiment: str, job_id: str) -> None:
        self.failure: str | None = None
        self._uri, self._experiment, self._job_id = uri, experiment, job_id
        self._client: Any = None
        self._run = ""
        self._epochs = 0
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threads.start(self._work, name="mlflow")

    def begin(self, recipe: Recipe, facts: Mapping[str, str | int]) -> None:
        params = {**params_of(recipe), **{name: str(value) for name, value in facts.items()}}
        self._waiting.put(lambda: self._begin(params))

    def epoch(self, row: Mapping[str, float | str]) -> None:
        """Note an epoch; steps count the epochs of all stages that this attempt saw."""
        self._epochs += 1
        step = self._epochs
        figures = {
            name: float(v) for name, v in row.items() if isinstance(v, int | float) and name != "epoch"
        }
        self._waiting.put(lambda: self._log(figures, step))

    def end(
        self,
        status: Status,
        *,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str | None:
        """Close the run; return a note when MLflow did not take everything."""
        self._waiting.put(lambda: self._end(status, metrics or {}, tags or {}, self._epochs))
        self._waiting.put(None)
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            self.failure = self.failure or f"it did not answer within {PATIENCE_SECONDS:g} s"
        if self.failure is None:
            return None
        return f"MLflow ({self._uri}) did not take all of this training's figures: {self.failure}."

    def _work(self) -> None:
        while (call := self._waiting.get()) is not None:
            if self.failure is not None:
                continue
            try:
                call()
            except ImportError:
                self.failure = "the package mlflow-skinny is not installed; install reel-trainer[mlflow]"
            except Exception as error:  # whatever it is, it is not worth a training
                self.failure = " ".join(str(error).split())[:300] or type(error).__name__

    def _begin(self, params: dict[str, str]) -> None:
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=self._uri)
        held = self._client.get_experiment_by_name(self._experiment)
        experiment = held.experiment_id if held else self._client.create_experiment(self._experiment)
        runs = self._client.search_runs([experiment], f"tags.`{JOB}` = '{self._job_id}'", max_results=1)
        run = (
            runs[0]
            if runs
            else self._client.create_run(experiment, tags={JOB: self._job_id}, run_name=self._job_id)
        )
        self._run = run.info.run_id
        known = run.data.params
        new = [Param(name, value) for name, value in params.items() if name not in known]
        self._client.log_batch(self._run, params=new)

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(name, v, now, step) for name, v in figures.items()])

    def _end(self, status: Status, metrics: Mapping[str, float], tags: Mapping[str, str], step: int) -> None:
        if metrics:
            self._log(metrics, step)
        for name, value in tags.items():
            self._client.set_tag(self._run, name, value)
        self._client.set_terminated(self._run, status)


def params_of(recipe: Recipe) -> dict[str, str]:
    """Return a recipe as flat parameters: ``stage.<name>`` and ``transforms`` hold JSON."""
    return dict(_flat(recipe))


def _flat(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for name, value in recipe.model_dump(mode="json", exclude={"stages"}).items():
        yield name, (value if isinstance(value, str) else json.dumps(value))[:MOST_CHARACTERS]
    for stage in recipe.stages:
        yield f"stage.{stage.name}", stage.model_dump_json(exclude={"name"})[:MOST_CHARACTERS]
