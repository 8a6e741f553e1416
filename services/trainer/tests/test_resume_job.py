"""A training as a job: it goes on from its checkpoint after a death, after a stop, and as another job."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from reel_shared import jobs
from reel_shared.contracts import TRAIN_MODEL, TrainingCheckpoint
from reel_shared.db.engine import transaction
from reel_shared.db.models import Job, JobEvent, TrainingState
from reel_shared.runner import run_job
from reel_trainer import recipe, tasks
from reel_trainer.tasks import checkpointing, fetching, trainings

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
STAGE = {"size": 32, "batch_size": 32, "frozen": True, "train_bn": False, "lr_max": 1e-2}


@pytest.fixture
def epochs(monkeypatch):
    """Let the recipe `demo` mean one stage of so many epochs."""

    def make(count):
        facts = recipe.load_recipe("demo").model_dump() | {
            "stages": [{"name": "h", "epochs": count, **STAGE}]
        }
        made = recipe.Recipe.model_validate(facts)
        monkeypatch.setattr(trainings, "load_recipe", lambda name: made)

    return make


@pytest.fixture
def submitted(client, dataset):
    """Build a version and submit a training of it; return the job's id."""
    job_id = client.post("/v1/dataset-versions", json={}).json()["id"]
    run(job_id, tasks.build_dataset_version)
    version = client.get("/v1/dataset-versions").json()["data"][0]["id"]
    answer = client.post(
        "/v1/trainings", json={"dataset_version_id": version, "recipe": "demo", "activate": True}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def run(job_id, function=tasks.train_model):
    with transaction() as session:
        kind = jobs.contracts.KINDS[jobs.get(session, job_id).kind]
    run_job(kind, function, job_id)
    return row(job_id)


def row(job_id) -> Job:
    with transaction() as session:
        return jobs.get(session, job_id)


def state(job_id) -> TrainingState | None:
    with transaction() as session:
        return session.get(TrainingState, job_id)


def epochs_told(job_id) -> list[int]:
    with transaction() as session:
        events = session.query(JobEvent).filter_by(job_id=job_id, type="metric").order_by(JobEvent.id).all()
    return [event.data["epoch"] for event in events]


@pytest.fixture(autouse=True)
def attentive(monkeypatch):
    """The worker looks for wishes several times a second."""
    monkeypatch.setattr(fetching, "ASK_EVERY_SECONDS", 0.2)


def in_background(job_id):
    thread = threading.Thread(target=run_job, args=(TRAIN_MODEL, tasks.train_model, job_id))
    thread.start()
    return thread


def until(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def has_checkpoint(job_id) -> bool:
    found = state(job_id)
    return found is not None and found.checkpoint is not None


def stored(reel) -> set[str]:
    return {found.key for found in reel.storage.list("checkpoints/")}


def test_stopped_after_its_epoch_and_resumed(client, submitted, epochs, reel) -> None:
    epochs(400)
    assert client.get(f"/v1/trainings/{submitted}/checkpoint").status_code == 404
    thread = in_background(submitted)
    until(lambda: has_checkpoint(submitted))
    asked = client.post(f"/v1/trainings/{submitted}/stop", json={"when": "epoch"})
    assert (asked.status_code, asked.json()["state"]) == (202, "running")
    thread.join(200)
    assert row(submitted).state == "canceled"
    told = epochs_told(submitted)
    assert told == list(range(1, len(told) + 1))
    assert len(told) < 400
    held = TrainingCheckpoint.model_validate(client.get(f"/v1/trainings/{submitted}/checkpoint").json())
    assert (held.stage, held.epoch) == ("h", told[-1]), "the epoch it was in counts"
    assert stored(reel) == {file.key for file in held.files.values()}, "only the last one is kept"
    assert client.post(f"/v1/trainings/{submitted}/stop", json={}).status_code == 409

    resumed = client.post(f"/v1/trainings/{submitted}/resume", json={"metadata": {"why": "lunch is over"}})
    assert resumed.status_code == 202, resumed.text
    job = resumed.json()
    assert (job["request"]["resume_from"], job["metadata"]) == (submitted, {"why": "lunch is over"})
    assert client.post(f"/v1/trainings/{job['id']}/resume", json={}).status_code == 409
    thread = in_background(job["id"])
    until(lambda: epochs_told(job["id"]))
    assert epochs_told(job["id"])[0] == told[-1] + 1
    assert client.post(f"/v1/trainings/{job['id']}/stop", json={"when": "now"}).json()["state"] == "canceling"
    thread.join(200)
    assert row(job["id"]).state == "canceled"


def test_an_attempt_goes_on_where_a_killed_child_ended(
    client, submitted, epochs, reel, monkeypatch, children
) -> None:
    epochs(15)
    keep = checkpointing.keep

    def keep_and_kill(context, data):
        keep(context, data)
        if data["epoch"] == 1:
            (child,) = children()
            os.kill(child, signal.SIGKILL)

    monkeypatch.setattr(checkpointing, "keep", keep_and_kill)
    failed = run(submitted)
    assert failed.state == "failed"
    assert "SIGKILL" in failed.error["detail"]
    # the child went on for as long as the first checkpoint was stored
    held = state(submitted).checkpoint["epoch"]
    assert 1 <= held <= len(epochs_told(submitted)) < 15
    monkeypatch.setattr(checkpointing, "keep", keep)
    again = client.post(f"/v1/trainings/{submitted}/resume", json={}).json()["id"]
    # as of a worker that died between storing a checkpoint and pointing to it
    for job_id in (submitted, again):
        reel.storage.put_bytes(
            f"{checkpointing.PREFIX}/{job_id}", job_id.encode(), "application/json", ".json"
        )
    job = run(again)
    assert job.state == "succeeded", job.error
    assert [row["epoch"] for row in job.result["epochs"]] == list(range(1, 16))
    assert epochs_told(again) == list(range(held + 1, 16))
    assert (stored(reel), state(submitted), state(again)) == (set(), None, None), "nobody needs them any more"
    assert client.get("/v1/models").json()["data"][0]["active"]
    late = client.post(f"/v1/trainings/{submitted}/resume", json={})
    assert late.status_code == 409
    assert "left no checkpoint" in late.json()["detail"]


def test_a_worker_that_lost_the_job_moves_no_checkpoint(client, submitted, epochs, reel, monkeypatch) -> None:
    epochs(400)
    keep, lost = checkpointing.keep, []

    def lose_and_keep(context, data):
        if not lost:
            with transaction() as session:
                session.get_one(Job, submitted).lease_token = "another's"
            lost.append(True)
        keep(context, data)

    monkeypatch.setattr(checkpointing, "keep", lose_and_keep)
    run_job(TRAIN_MODEL, tasks.train_model, submitted)
    assert state(submitted) is None
    assert row(submitted).state == "running"


def test_a_waiting_training_stops_at_once(client, submitted) -> None:
    answer = client.post(f"/v1/trainings/{submitted}/stop", json={"when": "epoch"})
    assert answer.json()["state"] == "canceled"
    refused = client.post(f"/v1/trainings/{submitted}/resume", json={})
    assert refused.status_code == 409
    assert f"POST /v1/jobs/{submitted}/replay" in refused.json()["detail"]


def test_other_jobs_are_no_trainings(client, submitted) -> None:
    with transaction() as session:
        version_job = session.query(Job).filter(Job.kind != TRAIN_MODEL.name).first()
    for path, call in (("stop", client.post), ("resume", client.post), ("checkpoint", client.get)):
        options = {"json": {}} if call == client.post else {}
        assert call(f"/v1/trainings/{version_job.id}/{path}", **options).status_code == 404
        assert call(f"/v1/trainings/job_none/{path}", **options).status_code == 404
