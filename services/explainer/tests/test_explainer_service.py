"""Explanations over HTTP and as jobs, on real storage and a real database."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from reel_explainer import api, explain, registry
from reel_explainer.model import load_model
from reel_explainer.tasks import explain_picture
from reel_networks import input_stats, save_weights
from reel_shared import jobs
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    EXPLAIN_PICTURE,
    BuildDatasetVersionRequest,
    ExplainPictureRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, ModelAlias, TrainedModel
from reel_shared.model_card import CARD, WEIGHTS, facts_of
from reel_shared.runner import run_job
from reel_shared.security import create_key

pytestmark = pytest.mark.servers


@pytest.fixture
def publish(reel, network, make_card, tmp_path):
    """Publish the network of an architecture as the trainer does, and make it the active model."""
    path = tmp_path / WEIGHTS

    def do(name, architecture="resnet18"):
        save_weights(
            network(architecture), path, architecture=architecture, stats=input_stats(architecture, "none")
        )
        card = make_card(architecture, {WEIGHTS: facts_of(path)}, id=name)
        files = {
            CARD: reel.storage.put_bytes("models", card.model_dump_json().encode(), "application/json"),
            WEIGHTS: reel.storage.put_file("models", path, "application/octet-stream"),
        }
        with transaction() as session:
            job = jobs.submit(session, BUILD_DATASET_VERSION, BuildDatasetVersionRequest())
            if session.get(DatasetVersion, "dsv_1") is None:
                session.add(
                    DatasetVersion(
                        id="dsv_1",
                        dataset="default",
                        manifest={},
                        manifest_sha256="0" * 64,
                        classes=[],
                        counts={},
                        certificate={},
                        job_id=job.id,
                    )
                )
                session.flush()
            session.add(
                TrainedModel(
                    id=name,
                    dataset_version_id="dsv_1",
                    architecture=architecture,
                    recipe="none",
                    card=card.model_dump(mode="json"),
                    metrics={},
                    job_id=job.id,
                    files={name: file.model_dump() for name, file in files.items()},
                )
            )
            session.flush()
            session.merge(ModelAlias(name="active", model_id=name))
        return card, path, files

    yield do
    registry.forget()


@pytest.fixture
def picture(reel, pictures):
    """A JPEG in storage: its key and its bytes."""
    stream = io.BytesIO()
    Image.fromarray(pictures[0]).save(stream, "JPEG", quality=95)
    data = stream.getvalue()
    return reel.storage.put_bytes("uploads", data, "image/jpeg", ".jpg").key, data


@pytest.fixture
def client(reel):
    with transaction() as session:
        _, token = create_key(session, "test", ["submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as made:
        yield made


def run(job_id):
    run_job(EXPLAIN_PICTURE, explain_picture, job_id)
    with transaction() as session:
        return jobs.get(session, job_id)


def submit(**request):
    with transaction() as session:
        return jobs.submit(session, EXPLAIN_PICTURE, ExplainPictureRequest(**request)).id


def test_a_job_leaves_what_the_domain_makes(publish, picture, reel):
    card, path, _ = publish("mdl_a")
    key, data = picture
    job = run(submit(key=key, labels=["kiki", "tarzan"]))
    assert job.state == "succeeded", job.error
    expected = explain.explain_picture(
        load_model(card, path), np.asarray(Image.open(io.BytesIO(data))), ["kiki", "tarzan"]
    )
    result = EXPLAIN_PICTURE.result.model_validate(job.result)
    assert result.model == "mdl_a"
    assert [p.label for p in result.predictions] == [label for label, _ in expected.predictions]
    store = reel.storage
    square = Image.open(io.BytesIO(store.get_bytes(result.picture.key, max_bytes=10**6)))
    np.testing.assert_array_equal(np.asarray(square), expected.square)
    for ours, wanted in zip(result.explanations, expected.explanations, strict=True):
        assert (ours.label, ours.border_share) == (wanted.label, pytest.approx(wanted.border_share, rel=1e-4))
        assert ours.probability == pytest.approx(wanted.probability, rel=1e-4)
        for file, drawn in ((ours.gradcam, wanted.gradcam), (ours.guided, wanted.guided)):
            assert file.media_type == "image/png"
            stored = np.asarray(Image.open(io.BytesIO(store.get_bytes(file.key, max_bytes=10**6))), int)
            assert np.abs(stored - np.asarray(Image.open(io.BytesIO(drawn)))).max() <= 2


def test_the_predicted_label_is_explained_when_none_is_named(publish, picture):
    publish("mdl_a")
    job = run(submit(key=picture[0], methods=["gradcam"]))
    (only,) = job.result["explanations"]
    assert only["label"] == job.result["predictions"][0]["label"]
    assert only["guided"] is None


def test_the_model_that_is_active_when_the_job_runs_explains(publish, picture):
    publish("mdl_a")
    for name, architecture in (("mdl_b", "efficientnet_lite0"), ("mdl_c", "resnet18")):
        publish(name, architecture)
        assert run(submit(key=picture[0])).result["model"] == name
    assert run(submit(key=picture[0], model="mdl_b")).result["model"] == "mdl_b"
    assert len(registry._loaded) <= registry.KEPT


def test_faults_end_the_job_with_their_reason(publish, picture, reel):
    assert run(submit(key=picture[0])).error["type"] == "urn:reelsight:problem:no-model"
    _, _, files = publish("mdl_a")
    assert run(submit(key="uploads/00/missing.png")).error["type"] == "urn:reelsight:problem:not-found"
    text = reel.storage.put_bytes("uploads", b"no picture", "image/png").key
    assert run(submit(key=text)).error["reason"] == "not-a-picture"
    assert "knows no class" in run(submit(key=picture[0], labels=["pluto"])).error["detail"]
    reel.storage.put_at(files[WEIGHTS].key, b"something else", "application/octet-stream")
    registry.forget()  # else the model in memory would answer
    assert run(submit(key=picture[0])).error["type"] == "urn:reelsight:problem:corrupt-object"


def test_jobs_are_submitted_by_key_or_with_the_file(client, publish, picture):
    key, data = picture
    assert client.post("/v1/explanations", json={"key": key}).status_code == 503
    publish("mdl_a")
    by_key = client.post("/v1/explanations", json={"key": key, "labels": ["howl"], "metadata": {"n": 1}})
    assert by_key.status_code == 202, by_key.text
    assert by_key.headers["Location"] == f"/v1/jobs/{by_key.json()['id']}"
    form = client.post(
        "/v1/explanations",
        files={"file": ("cat.jpg", data, "image/jpeg")},
        data={"labels": "howl, kiki", "methods": "gradcam", "metadata": '{"n": 2}'},
    )
    assert form.status_code == 202, form.text
    assert form.json()["request"]["labels"] == ["howl", "kiki"]
    assert form.json()["metadata"] == {"n": 2}
    job = run(form.json()["id"])
    assert [e["label"] for e in job.result["explanations"]] == ["howl", "kiki"]
    again = {"Idempotency-Key": "once"}
    sent = [
        client.post("/v1/explanations", files={"file": data}, headers=again).json()["id"] for _ in range(2)
    ]
    assert sent[0] == sent[1]


def test_refusals_come_before_the_job(client, publish, picture):
    publish("mdl_a")
    key, _ = picture
    unknown = client.post("/v1/explanations", json={"key": key, "labels": ["pluto"]})
    assert unknown.status_code == 422
    assert "castle, howl" in unknown.json()["detail"]
    assert client.post("/v1/explanations", json={"key": key, "model": "mdl_x"}).status_code == 404
    missing = client.post("/v1/explanations", json={"key": "uploads/00/missing.png"})
    assert (missing.status_code, "uploads/00/missing.png" in missing.json()["detail"]) == (404, True)
    wrong = client.post("/v1/explanations", json={"key": key, "methods": ["lime"]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/methods/0")
    assert client.post("/v1/explanations", json={"labels": []}).status_code == 422
    assert client.post("/v1/explanations", files={"file": b"text, not pixels"}).status_code == 415
    assert (
        client.post("/v1/explanations", content=b"x", headers={"Content-Type": "text/plain"}).status_code
        == 415
    )


def test_visitors_get_their_own_pictures_explained_by_the_active_model(client, publish, picture, reel):
    publish("mdl_a")
    key, data = picture
    del client.headers["Authorization"]
    assert client.post("/v1/explanations", json={"key": key}).status_code == 202
    assert client.post("/v1/explanations", files={"file": data}).status_code == 202
    assert client.post("/v1/explanations", json={"key": key, "model": "mdl_a"}).status_code == 403
    assert client.post("/v1/explanations", json={"key": "frames/00/x.jpg"}).status_code == 403
    reel.configure(web__public_demo="false")
    assert client.post("/v1/explanations", json={"key": key}).status_code == 401


def test_the_api_needs_no_torch():
    code = (
        "import sys, reel_explainer.api; sys.exit('torch' in sys.modules or 'reel_networks' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
