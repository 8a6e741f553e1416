"""A finished model is trained further: from its own weights, on the same classes, honest about what it has seen."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load

from reel_shared import jobs
from reel_shared.contracts import KINDS
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, TrainedModel
from reel_shared.manifest import Side
from reel_shared.model_card import WEIGHTS
from reel_shared.runner import run_job
from reel_trainer import recipe, tasks
from reel_trainer.extending import already_learnt
from reel_trainer.tasks import trainings

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
STAGE = {"name": "h", "size": 32, "batch_size": 32, "frozen": True, "train_bn": False, "epochs": 1}


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """Let the recipe `demo` be one epoch at rates that leave the weights as they are."""
    facts = recipe.load_recipe("demo").model_dump() | {"stages": [{**STAGE, "lr_max": 1e-9}]}
    monkeypatch.setattr(trainings, "load_recipe", lambda name: recipe.Recipe.model_validate(facts))


def run(job_id, function=tasks.train_model):
    with transaction() as session:
        kind = KINDS[jobs.get(session, job_id).kind]
    run_job(kind, function, job_id)
    with transaction() as session:
        job = jobs.get(session, job_id)
    assert job.state == "succeeded", job.error
    return job.result


def version(client, **request) -> str:
    job_id = client.post("/v1/dataset-versions", json=request).json()["id"]
    return run(job_id, tasks.build_dataset_version)["dataset_version_id"]


def post(client, path, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def head(reel, result) -> torch.Tensor:
    """The weights of a model's last layer."""
    file = result["files"][WEIGHTS]
    return load(reel.storage.get_bytes(file["key"], max_bytes=2**30))["1.8.weight"]


def test_a_finished_model_is_trained_further(client, dataset, reel) -> None:
    made = version(client)
    first = post(client, "/v1/trainings", dataset_version_id=made, recipe="demo", weights="package", seed=7)
    early = client.post(f"/v1/trainings/{first}/extend", json={})
    assert early.status_code == 409
    assert "only one that has succeeded can be extended" in early.json()["detail"]
    origin = run(first)

    second = post(client, f"/v1/trainings/{first}/extend", seed=8)
    job = client.post(f"/v1/trainings/{first}/extend", json={"recipe": "quick"}).json()
    assert (job["request"]["seed"], job["request"]["recipe"]) == (7, "quick")
    assert job["request"]["weights"] == f"model:{origin['model_id']}"
    extended = run(second)
    assert extended["model_id"] != origin["model_id"]
    # another seed would begin with another head
    assert torch.allclose(head(reel, extended), head(reel, origin), atol=1e-5)
    with transaction() as session:
        card = session.get_one(TrainedModel, extended["model_id"]).card
        files = {
            session.get_one(TrainedModel, one["model_id"]).files[WEIGHTS]["key"] for one in (origin, extended)
        }
    assert (card["weights"], card["held_out"], card["notes"]) == (f"model:{origin['model_id']}", True, [])
    assert len(files) == 2

    # another split: much of what it is judged on now it has learnt before
    other = version(client, seed=5)
    third = run(post(client, f"/v1/trainings/{second}/extend", dataset_version_id=other))
    with transaction() as session:
        card = session.get_one(TrainedModel, third["model_id"]).card
    assert not card["held_out"]
    assert (
        f"were learnt before by model:{extended['model_id']} or a model that it extends" in card["notes"][0]
    )


def test_what_does_not_go_with_the_model_is_refused(client, dataset, reel) -> None:
    made = version(client)
    first = post(client, "/v1/trainings", dataset_version_id=made, recipe="demo", weights="package")
    model_id = run(first)["model_id"]

    def refused(path=f"/v1/trainings/{first}/extend", **body):
        answer = client.post(path, json=body)
        assert answer.status_code in (404, 422), answer.text
        return answer.json()["detail"]

    assert "is a efficientnet_lite0 and the recipe article trains a resnet50" in refused(recipe="article")
    assert "There is no recipe 'none'" in refused(recipe="none")
    assert "There is no dataset version dsv_none" in refused(dataset_version_id="dsv_none")
    assert "There is no training job_none" in refused(path="/v1/trainings/job_none/extend")
    start = {"path": "/v1/trainings", "dataset_version_id": made, "recipe": "demo"}
    assert "There is no model mdl_none" in refused(**start, weights="model:mdl_none")
    with transaction() as session:
        session.get_one(DatasetVersion, made).classes = ["bars", "cross", "star"]
    assert "has the classes bars, cross, star and model" in refused()
    with transaction() as session:
        session.get_one(DatasetVersion, made).classes = ["bars", "cross", "disc"]
        session.get_one(TrainedModel, model_id).takedowns = ["tkd_1"]
    assert "has learnt pictures that were taken down since (1 take-down(s))" in refused()


def test_pictures_are_known_by_themselves_their_scene_or_their_group(shapes) -> None:
    manifest = shapes.manifest()
    valid = manifest.on(Side.VALID)
    assert already_learnt(manifest, []) == 0
    assert already_learnt(manifest, [(manifest, False)]) == 0, "a good split keeps scenes apart"
    assert already_learnt(manifest, [(manifest, True)]) == len(valid)
    frame = next(image for image in valid if image.scene)
    taught = manifest.model_copy(
        update={"images": [frame.model_copy(update={"split": Side.TRAIN, "sha256": "0" * 64})]}
    )
    beside = [
        image for image in valid if image.scene == frame.scene or (frame.group and image.group == frame.group)
    ]
    assert already_learnt(manifest, [(taught, False)]) == len(beside) >= 1
