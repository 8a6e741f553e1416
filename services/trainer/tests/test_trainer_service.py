"""Dataset versions and trainings over HTTP and as jobs, on a real database, real storage and a real child."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from reel_shared import jobs, runner
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    KINDS,
    TRAIN_MODEL,
    TrainModelRequest,
    read_evaluation,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image, Job, ModelAlias, Takedown, TrainedModel
from reel_shared.errors import Unavailable
from reel_shared.manifest import load
from reel_shared.model_card import load_model_card
from reel_shared.runner import run_job
from reel_shared.software import software
from reel_trainer import recipe, tasks, versions
from reel_trainer.child import ChildFailed
from reel_trainer.tasks import trainings

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
FUNCTIONS = {BUILD_DATASET_VERSION.name: tasks.build_dataset_version, TRAIN_MODEL.name: tasks.train_model}
STAGE = {"size": 48, "batch_size": 16, "frozen": True, "train_bn": False, "lr_max": 1e-2}


@pytest.fixture
def quick(monkeypatch):
    """Let the name `demo` mean one short stage; how many epochs is the argument."""

    def make(epochs=1):
        facts = recipe.load_recipe("demo").model_dump() | {
            "stages": [{"name": "h", "epochs": epochs, **STAGE}],
            "tta": 1,
        }
        made = recipe.Recipe.model_validate(facts)
        monkeypatch.setattr(trainings, "load_recipe", lambda name: made)

    return make


def run(job_id):
    with transaction() as session:
        kind = KINDS[jobs.get(session, job_id).kind]
    run_job(kind, FUNCTIONS[kind.name], job_id)
    return row(job_id)


def row(job_id):
    with transaction() as session:
        return session.get(Job, job_id)


def version(client, **request):
    answer = client.post("/v1/dataset-versions", json=request)
    assert answer.status_code == 202, answer.text
    job = run(answer.json()["id"])
    assert job.state == "succeeded", job.error
    return job.result


def training(client, version_id, **request):
    body = {"dataset_version_id": version_id, "recipe": "demo", **request}
    answer = client.post("/v1/trainings", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def test_from_pictures_to_an_active_model(client, dataset, quick, reel, tmp_path) -> None:
    made = version(client, valid_fraction=0.25)
    shown = client.get(f"/v1/dataset-versions/{made['dataset_version_id']}").json()
    assert shown["certificate"]["certified"]
    assert shown["manifest"]["url"]
    manifest = load(reel.storage.get_bytes(shown["manifest"]["key"], max_bytes=10**7))
    assert manifest.counts() == made["images"] == shown["images"]
    assert {image.scene for image in manifest.images if image.scene} >= {"mov_disc:0", "mov_bars:15"}

    assert client.get("/v1/models/active").json()["type"] == "urn:reelsight:problem:no-model"
    quick()
    job_id = training(client, made["dataset_version_id"], activate=True)
    for thread in [in_background(job_id), in_background(job_id)]:  # a message delivered twice trains once
        thread.join(120)
    job = row(job_id)
    assert (job.state, job.attempt) == ("succeeded", 1), job.error
    result = job.result
    for name, file in result["files"].items():
        reel.storage.get_file(file["key"], tmp_path / name, sha256=file["sha256"])
    card = load_model_card(tmp_path)
    assert card.id == result["model_id"] == client.get("/v1/models/active").json()["id"]
    assert card.manifest_sha256 == shown["manifest"]["sha256"]
    assert 0 <= card.graph_difference <= 1e-3
    assert card.software == software("reel-trainer")
    assert (result["serves"], result["notes"]) == (True, [])
    assert result["epochs"][0]["stage"] == "h"
    page = client.get(f"/v1/models/{card.id}/report")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; img-src data:")
    assert page.content == (tmp_path / "report.html").read_bytes()
    assert len(page.content) < 5_000_000
    figures = client.get("/v1/models/active/report", params={"format": "json"}).json()
    assert figures["evaluation"]["model_id"] == card.id
    assert figures["split"] == shown["certificate"]
    assert figures["epochs"] == result["epochs"]
    assert (job.progress_done, job.progress_unit) == (job.progress_total, "pictures")

    listed = client.get("/v1/models", params={"recipe": "demo"}).json()["data"]
    assert [(m["id"], m["active"], m["held_out"]) for m in listed] == [(card.id, True, True)]
    assert (listed[0]["number"], listed[0]["software"]) == (1, card.software.model_dump())
    gates = client.get(f"/v1/models/{card.id}/gates").json()["gates"]
    passed = {gate["name"] for gate in gates if gate["state"] == "passed"}
    assert passed == {"certificate", "held-out", "graph", "take-downs"}
    assert listed[0]["metrics"]["web"]["images"] == result["metrics"]["web"]["images"]

    judged = client.get("/v1/models/active/evaluation")
    assert judged.headers["ETag"] == f'"{result["files"]["evaluation.json"]["sha256"]}"'
    assert read_evaluation(judged.content).metrics == card.metrics
    with transaction() as session:
        model = session.get(TrainedModel, card.id)
        model.files = {name: file for name, file in model.files.items() if name != "evaluation.json"}
    assert "before evaluations were stored" in client.get("/v1/models/active/evaluation").json()["detail"]
    assert client.get("/v1/models/mdl_none/evaluation").status_code == 404

    with transaction() as session:
        session.delete(session.get(ModelAlias, "active"))
    path = f"/v1/models/{card.id}/activate"
    first, again = (client.post(path, headers={"Idempotency-Key": "a"}) for _ in range(2))
    assert (first.status_code, first.json()["active"]) == (200, True)
    assert (again.status_code, again.json()["id"]) == (200, card.id)
    assert client.get("/v1/models/active").json()["id"] == card.id


def test_refusals_before_a_job_is_made(client, dataset) -> None:
    assert client.post("/v1/dataset-versions", json={"dataset": "empty"}).status_code == 422
    unknown = client.post("/v1/trainings", json={"dataset_version_id": "dsv_none", "recipe": "demo"})
    assert (unknown.status_code, "dsv_none" in unknown.json()["detail"]) == (404, True)
    made = version(client)
    body = {"dataset_version_id": made["dataset_version_id"], "recipe": "secret"}
    assert client.post("/v1/models/mdl_none/activate").status_code == 404
    assert "choose one of article" in client.post("/v1/trainings", json=body).json()["detail"]
    assert client.get("/v1/dataset-versions/dsv_none").status_code == 404
    assert {r["name"] for r in client.get("/v1/recipes").json()["data"]} == {
        "article",
        "article-final",
        "demo",
        "leak-gap",
        "quick",
    }


def test_a_model_of_an_uncertified_version_says_so_for_ever(client, dataset, quick, reel, tmp_path) -> None:
    made = version(client, strategy="random")
    assert not made["certificate"]["certified"]
    body = {"dataset_version_id": made["dataset_version_id"], "recipe": "demo"}
    refused = client.post("/v1/trainings", json=body)
    assert refused.status_code == 422
    assert "is not certified" in refused.json()["detail"]
    assert "it was split at random" in refused.json()["detail"]
    quick()
    job = run(training(client, made["dataset_version_id"], allow_uncertified=True))
    assert job.state == "succeeded", job.error
    for name, file in job.result["files"].items():
        reel.storage.get_file(file["key"], tmp_path / name, sha256=file["sha256"])
    card = load_model_card(tmp_path)
    shown = client.get(f"/v1/models/{card.id}").json()
    assert (card.certified, shown["certified"], job.result["certified"]) == (False, False, False)
    assert list(card.notes) == shown["notes"] == job.result["notes"]
    assert "Trained on an uncertified dataset version, as was asked for" in shown["notes"][0]


def test_the_childs_reason_is_the_jobs(client, dataset, quick, reel) -> None:
    made = version(client)
    quick()
    junk = reel.storage.put_bytes("uploads", b"no weights", "application/octet-stream")
    job = run(training(client, made["dataset_version_id"], weights=junk.key))
    assert job.state == "failed"
    assert (job.error["type"], job.error["status"]) == ("urn:reelsight:problem:unprocessable", 422)
    assert "not a readable safetensors file" in job.error["detail"]
    outside = run(training(client, made["dataset_version_id"], weights="/etc/passwd"))
    assert outside.state == "failed"
    assert "not a storage key" in outside.error["detail"]


def in_background(job_id):
    thread = threading.Thread(target=run_job, args=(TRAIN_MODEL, tasks.train_model, job_id))
    thread.start()
    return thread


def until(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def trains(job_id):
    return (row(job_id).progress_message or "").startswith("stage")


def test_cancel_stops_the_child(client, dataset, quick, children) -> None:
    made = version(client)
    quick(epochs=1000)
    job_id = training(client, made["dataset_version_id"])
    thread = in_background(job_id)
    until(lambda: trains(job_id))
    assert len(children()) == 1
    with transaction() as session:
        jobs.cancel(session, job_id)
    thread.join(200)
    assert row(job_id).state == "canceled"
    assert not children()
    assert client.get("/v1/models").json()["data"] == []


def test_a_training_that_still_imports_torch_is_canceled_at_once(client, dataset, quick, children) -> None:
    made = version(client)
    quick(epochs=1000)
    job_id = training(client, made["dataset_version_id"])
    thread = in_background(job_id)
    until(children)
    starting = row(job_id)
    assert (starting.progress_message, starting.progress_done) == ("starting the training", 0)
    with transaction() as session:
        jobs.cancel(session, job_id)
    asked = time.monotonic()
    thread.join(200)
    # A heartbeat is 10 s away; two seconds until the wish is seen, and at most two more for the child.
    assert time.monotonic() - asked < 8
    assert row(job_id).state == "canceled"
    assert not children()


def test_a_childs_error_keeps_its_status_and_may_be_tried_again() -> None:
    away = Unavailable("The weights cannot be downloaded.")
    said = {"code": away.code, "status": away.status, "retryable": away.retryable, "detail": away.detail}
    error = ChildFailed(said)
    assert error.problem() == {**away.problem(), "title": ChildFailed.title}
    assert error.retryable
    assert not ChildFailed.retryable


def test_draining_gives_the_job_back(client, dataset, quick, reel, monkeypatch, children) -> None:
    made = version(client)
    quick(epochs=1000)
    job_id = training(client, made["dataset_version_id"])
    reel.configure(jobs__drain_seconds=0.1)
    thread = in_background(job_id)
    until(children)
    monkeypatch.setattr(runner, "draining_since", time.monotonic())
    thread.join(200)
    job = row(job_id)
    assert (job.state, job.attempt, job.lease_token) == ("running", 0, None)
    assert not children()


def test_a_child_that_is_killed_says_so(client, dataset, quick, children) -> None:
    made = version(client)
    quick(epochs=1000)
    job_id = training(client, made["dataset_version_id"])
    thread = in_background(job_id)
    until(children)
    os.kill(children().pop(), signal.SIGKILL)
    thread.join(200)
    job = row(job_id)
    assert job.state == "failed"
    assert "SIGKILL" in job.error["detail"]


def test_same_request_same_version_content(client, dataset) -> None:
    one, two = version(client), version(client)
    assert one["dataset_version_id"] != two["dataset_version_id"]
    assert one["manifest"]["sha256"] == two["manifest"]["sha256"]
    films = version(client, train_sources=["movie"])
    assert films["images"]["valid"] == one["images"]["valid"]
    assert "web" not in films["images"]["train"]


def test_a_version_whose_picture_goes_while_it_is_built_says_so(client, dataset, monkeypatch) -> None:
    build, gone = versions.build_dataset_version, []

    def meanwhile(images, *args, **fields):
        gone.append(images[0].id)
        with transaction() as session:
            row = session.get_one(Image, images[0].id)
            session.add(Takedown(id="tkd_1", image_id=row.id, sha256=row.sha256, phash=row.phash))
        return build(images, *args, **fields)

    monkeypatch.setattr(versions, "build_dataset_version", meanwhile)
    version_id = version(client)["dataset_version_id"]
    assert gone
    assert client.get(f"/v1/dataset-versions/{version_id}").json()["takedowns"] == ["tkd_1"]
    refused = client.post("/v1/trainings", json={"dataset_version_id": version_id, "recipe": "demo"})
    assert refused.status_code == 422
    assert "taken down" in refused.json()["detail"]


def test_the_api_starts_without_torch() -> None:
    code = "import sys, json, reel_trainer.api; print(json.dumps([m for m in sys.modules if '.' not in m]))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert not {"torch", "fastai", "torchvision"} & set(loaded)
    code = code.replace("reel_trainer.api", "reel_trainer.tasks")
    assert "torch" not in json.loads(subprocess.check_output([sys.executable, "-c", code]))


def test_request_defaults_are_the_article() -> None:
    assert TrainModelRequest(dataset_version_id="dsv_1").recipe == "article"
