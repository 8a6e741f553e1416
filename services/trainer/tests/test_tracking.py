"""MLflow hears of a training in a real local store, and its failures are a note and nothing worse."""

from __future__ import annotations

import json
import time

import pytest
from mlflow.tracking import MlflowClient

from reel_shared import jobs
from reel_shared.contracts import KINDS
from reel_shared.db.engine import transaction
from reel_shared.runner import run_job
from reel_trainer import tasks, tracking
from reel_trainer.recipe import load_recipe
from reel_trainer.tracking import JOB, Tracking, params_of

STAGE = {
    "name": "one",
    "size": 32,
    "batch_size": 32,
    "frozen": True,
    "train_bn": False,
    "epochs": 1,
    "lr_max": 1e-2,
}
RECIPE = {"name": "sent", "architecture": "efficientnet_lite0", "weights": "package", "stages": [STAGE]}
ROW = {"stage": "one", "epoch": 1, "train_loss": 0.5, "accuracy": 0.75}


@pytest.fixture(autouse=True)
def patient(monkeypatch) -> None:
    """A store that is made anew takes its time on a busy machine."""
    monkeypatch.setattr(tracking, "PATIENCE_SECONDS", 240.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'runs.db'}"


def runs(store, job_id):
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("reelsight").experiment_id
    return client, client.search_runs([experiment], f"tags.`{JOB}` = '{job_id}'")


def test_a_run_holds_the_recipe_a_step_an_epoch_and_the_end(store) -> None:
    told = Tracking(store, "reelsight", "job_a")
    told.begin(load_recipe("article"), {"seed": 7})
    told.epoch(ROW)
    told.epoch(ROW | {"accuracy": 0.8})
    assert told.end("FAILED") is None
    again = Tracking(store, "reelsight", "job_a")
    again.begin(load_recipe("article"), {"seed": 7})
    again.epoch(ROW | {"accuracy": 0.9})
    assert again.end("FINISHED", metrics={"final.all.accuracy": 0.95}, tags={"model": "mdl_1"}) is None
    client, found = runs(store, "job_a")
    (run,) = found
    assert run.info.status == "FINISHED"
    assert run.data.params.items() >= params_of(load_recipe("article")).items()
    assert (run.data.params["architecture"], run.data.params["seed"]) == ("resnet50", "7")
    assert json.loads(run.data.params["stage.stage2-300-5epochs"])["lr_max"] == [8e-6, 1e-3]
    assert run.data.tags["model"] == "mdl_1"
    history = client.get_metric_history(run.info.run_id, "accuracy")
    assert sorted((point.step, point.value) for point in history) == [(1, 0.75), (1, 0.9), (2, 0.8)]
    assert (run.data.metrics["final.all.accuracy"], run.data.metrics["train_loss"]) == (0.95, 0.5)


def test_what_cannot_be_told_is_a_note(monkeypatch) -> None:
    told = Tracking("nonsense://nowhere", "reelsight", "job_b")
    told.begin(load_recipe("quick"), {})
    told.epoch(ROW)
    note = told.end("FINISHED")
    assert note.startswith("MLflow (nonsense://nowhere) did not take all of this training's figures: ")
    monkeypatch.setattr(tracking, "PATIENCE_SECONDS", 0.1)
    slow = Tracking("nonsense://nowhere", "reelsight", "job_c")
    slow._waiting.put(lambda: time.sleep(2))
    assert "did not answer within 0.1 s" in slow.end("FINISHED")


@pytest.mark.servers
@pytest.mark.parametrize("works", [True, False])
def test_a_training_tells_its_store_and_survives_one_that_is_not_there(
    client, dataset, reel, store, works
) -> None:
    reel.configure(trainer__mlflow_uri=store if works else "nonsense://nowhere")

    def run(path, body, function):
        job_id = client.post(path, json=body).json()["id"]
        with transaction() as session:
            kind = KINDS[jobs.get(session, job_id).kind]
        run_job(kind, function, job_id)
        with transaction() as session:
            return jobs.get(session, job_id)

    version = run("/v1/dataset-versions", {}, tasks.build_dataset_version).result["dataset_version_id"]
    job = run("/v1/trainings", {"dataset_version_id": version, "recipe": RECIPE}, tasks.train_model)
    assert job.state == "succeeded", job.error
    if not works:
        assert [note for note in job.result["notes"] if note.startswith("MLflow (nonsense://nowhere)")]
        return
    assert job.result["notes"] == []
    _, (found,) = runs(store, job.id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["accuracy"] == pytest.approx(job.result["epochs"][0]["accuracy"])
    assert found.data.metrics["final.all.accuracy"] == job.result["metrics"]["all"]["accuracy"]
    assert found.data.tags["reelsight.file.model.onnx"] == job.result["files"]["model.onnx"]["key"]
    assert found.data.params["dataset_version_id"] == version
