"""A recipe that is sent with its training, and what the training tells while it runs, after a death, and resumed."""

from __future__ import annotations

import os
import signal

import pytest

from reel_shared import jobs
from reel_shared.db.engine import transaction
from reel_shared.db.models import Job, JobEvent
from reel_shared.runner import run_job
from reel_trainer import tasks
from reel_trainer.recipe import load_recipe
from reel_trainer.tasks import checkpointing, metrics

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
STAGE = {"size": 32, "batch_size": 32, "frozen": True, "train_bn": False, "lr_max": 1e-2}
RECIPE = {
    "name": "sent",
    "architecture": "efficientnet_lite0",
    "weights": "package",
    "stages": [{"name": "one", "epochs": 2, **STAGE}, {"name": "two", "epochs": 12, **STAGE}],
}


def run(job_id, function=tasks.train_model) -> Job:
    with transaction() as session:
        kind = jobs.contracts.KINDS[jobs.get(session, job_id).kind]
    run_job(kind, function, job_id)
    with transaction() as session:
        return jobs.get(session, job_id)


def events(job_id, kind):
    with transaction() as session:
        rows = session.query(JobEvent).filter_by(job_id=job_id, type=kind).order_by(JobEvent.id).all()
    return [row.data for row in rows]


@pytest.fixture
def version(client, dataset) -> str:
    run(client.post("/v1/dataset-versions", json={}).json()["id"], tasks.build_dataset_version)
    return client.get("/v1/dataset-versions").json()["data"][0]["id"]


def send(client, version, recipe):
    return client.post("/v1/trainings", json={"dataset_version_id": version, "recipe": recipe})


def test_figures_stay_after_a_death_and_a_sent_recipe_goes_on(
    client, version, reel, monkeypatch, children
) -> None:
    sent = send(client, version, RECIPE)
    assert sent.status_code == 202, sent.text
    job_id = sent.json()["id"]
    assert client.get(f"/v1/trainings/{job_id}/metrics").json() == {
        "job_id": job_id,
        "state": "queued",
        "stages": [],
        "now": None,
        "updated_at": None,
    }
    seen, keep = [], checkpointing.keep

    def keep_and_kill(context, data):
        keep(context, data)
        seen.append(client.get(f"/v1/trainings/{job_id}/metrics").json())
        if (data["stage"], data["epoch"]) == ("two", 1):
            (child,) = children()
            os.kill(child, signal.SIGKILL)

    monkeypatch.setattr(checkpointing, "keep", keep_and_kill)
    failed = run(job_id)
    assert failed.state == "failed", failed.error
    # while it ran
    assert [stage["stage"] for stage in seen[0]["stages"]] == ["one"]
    assert (seen[0]["state"], len(seen[0]["stages"][0]["epochs"])) == ("running", 1)
    # after it has failed
    held = client.get(f"/v1/trainings/{job_id}/metrics").json()
    assert held["state"] == "failed"
    one, two = held["stages"]
    assert [row["epoch"] for row in one["epochs"]] == [1, 2]
    assert two["epochs"]
    steps = [point["step"] for point in one["points"]]
    assert steps == list(range(1, len(steps) + 1))
    assert [point["epoch"] for point in one["points"]] == sorted(point["epoch"] for point in one["points"])
    assert held["now"]["seconds_left"] > 0
    assert held["now"]["memory"] > 2**26, "torch alone is larger"
    # as events
    assert next((data["stage"], data["fresh"]) for data in events(job_id, "curve")) == ("one", True)
    assert [data["epoch"] for data in events(job_id, "metric")][:2] == [1, 2]

    monkeypatch.setattr(checkpointing, "keep", keep)
    again = client.post(f"/v1/trainings/{job_id}/resume", json={}).json()["id"]
    done = run(again)
    assert done.state == "succeeded", done.error
    assert (done.request["recipe"], done.result["recipe"]) == (failed.request["recipe"], "sent")
    shown = client.get(f"/v1/trainings/{again}/metrics").json()
    assert shown["stages"][0] == one, "what was told before the death is told of the one that goes on"
    assert [row for stage in shown["stages"] for row in stage["epochs"]] == done.result["epochs"]
    curve = {stage["stage"]: stage["points"] for stage in shown["stages"]}
    assert curve == done.result["curve"]


def test_the_request_keeps_a_sent_recipe_whole(client, version) -> None:
    job = send(client, version, RECIPE).json()
    assert job["request"]["recipe"]["stages"][0]["lr_max"] == 0.01
    assert client.post(f"/v1/trainings/{job['id']}/stop", json={}).json()["state"] == "canceled"
    with transaction() as session:
        assert jobs.replay(session, job["id"]).request == job["request"]


@pytest.mark.parametrize(
    ("change", "pointer", "reason"),
    [
        (
            {"stages": [RECIPE["stages"][0] | {"epochs": 0}]},
            "#/recipe/stages/0/epochs",
            "greater than or equal",
        ),
        ({"stages": [RECIPE["stages"][0] | {"lr_max": [2, 1]}]}, "#/recipe/stages/0/lr_max", "low to high"),
        ({"stages": [RECIPE["stages"][0] | {"lr_max": 0}]}, "#/recipe/stages/0/lr_max", "greater than 0"),
        ({"stages": []}, "#/recipe/stages", "at least 1"),
        ({"speed": 9}, "#/recipe/speed", "not a field"),
        ({"architecture": "alexnet"}, "#/recipe/architecture", "resnet18"),
        ({"web_share": 0.4}, "#/recipe", "needs sampling: balanced"),
    ],
)
def test_a_fault_in_a_recipe_is_told_with_its_place(client, change, pointer, reason) -> None:
    answer = send(client, "dsv_1", RECIPE | change)
    assert answer.status_code == 422
    first = answer.json()["errors"][0]
    assert first["pointer"] == pointer
    assert reason in first["detail"]
    assert pointer in answer.json()["detail"]


def test_other_wrong_recipes(client, version) -> None:
    borrowed = send(client, version, RECIPE | {"name": "article"})
    assert borrowed.status_code == 422
    assert "give yours a name of its own" in borrowed.json()["detail"]
    ours = load_recipe("quick").model_dump(mode="json")
    assert send(client, version, ours).status_code == 202, "the one that ships is no other"
    assert "Name a recipe that GET /v1/recipes lists" in send(client, version, "Article!").json()["detail"]
    assert send(client, version, 3).status_code == 422


def test_a_worker_that_lost_the_job_adds_no_figures(client, version, monkeypatch) -> None:
    job_id = send(client, version, RECIPE).json()["id"]
    keep = metrics.keep_curve

    def lose_and_keep(context, data):
        with transaction() as session:
            session.get_one(Job, job_id).lease_token = "another's"
        keep(context, data)

    monkeypatch.setattr(metrics, "keep_curve", lose_and_keep)
    assert run(job_id).state == "running"
    assert client.get(f"/v1/trainings/{job_id}/metrics").json()["stages"] == []


def test_no_training_no_figures(client) -> None:
    assert client.get("/v1/trainings/job_none/metrics").status_code == 404
