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
from reel_explainer.tasks import compare_attention, explain_picture
from reel_shared import jobs, manifest
from reel_shared.contracts import (
    COMPARE_ATTENTION,
    EXPLAIN_PICTURE,
    BuildDatasetVersionRequest,
    CompareAttentionResult,
    ExplainPictureRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion
from reel_shared.manifest import Manifest, ManifestImage
from reel_shared.model_card import WEIGHTS
from reel_shared.runner import run_job
from reel_shared.security import create_key

pytestmark = pytest.mark.servers


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


def test_every_option_may_be_sent_in_a_form_and_its_files_lie_in_storage(client, publish, picture, reel):
    publish("mdl_a")
    fields = {
        "labels": "howl, kiki", "methods": "gradcam, guided_backprop", "outputs": "npy, json, panel, animation",
        "alpha": "0.5", "colormap": "viridis", "difference": "true", "features": "4", "rectify": "false",
        "actual": "castle",
    }  # fmt: skip
    sent = client.post("/v1/explanations", files={"file": picture[1]}, data=fields)
    assert sent.status_code == 202, sent.text
    assert sent.json()["request"]["alpha"] == 0.5
    job = run(sent.json()["id"])
    assert job.state == "succeeded", job.error
    result = EXPLAIN_PICTURE.result.model_validate(job.result)
    assert [one.label for one in result.explanations][:2] == ["howl", "kiki"]
    first = result.explanations[0]
    assert first.gradcam is None
    heat = array(reel, first.arrays["gradcam"])
    np.testing.assert_allclose(heat, first.heat, rtol=1e-6)
    assert array(reel, first.arrays["guided_backprop"]).shape == (3, 128, 128)
    second = array(reel, result.explanations[1].arrays["gradcam"])
    np.testing.assert_allclose(array(reel, result.difference.array), heat - second, atol=1e-6)
    assert result.difference.largest == pytest.approx(np.abs(heat - second).max(), rel=1e-5)
    assert [sheet.label for sheet in result.features] == [None, *(one.label for one in result.explanations)]
    assert all(len(sheet.channels) == 4 for sheet in result.features)
    kinds = {"panel": result.panel, "animation": result.animation}
    found = {name: Image.open(io.BytesIO(read(reel, file))).format for name, file in kinds.items()}
    assert found == {"panel": "PNG", "animation": "GIF"}
    wrong = client.post("/v1/explanations", files={"file": picture[1]}, data={"alpha": "2"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/alpha")
    unknown = client.post("/v1/explanations", json={"key": picture[0], "actual": "pluto"})
    assert (unknown.status_code, "'pluto'" in unknown.json()["detail"]) == (422, True)


def test_maps_are_judged_on_request(publish, picture, reel):
    publish("mdl_a")
    job = run(submit(key=picture[0], labels=["howl"], faithfulness=True))
    assert job.state == "succeeded", job.error
    (one,) = EXPLAIN_PICTURE.result.model_validate(job.result).explanations
    assert set(one.faithfulness) == {"gradcam", "guided"}
    heat = one.faithfulness["gradcam"]
    assert heat.deletion[0] == pytest.approx(one.probability, rel=1e-3)
    assert 0 <= heat.deletion_area <= 1
    assert heat.randomisation[0].shuffled == "head"
    assert "does not depend on the weights" in one.faithfulness["guided"].note
    assert Image.open(io.BytesIO(read(reel, one.faithfulness_plot))).format == "PNG"
    assert run(submit(key=picture[0])).result["explanations"][0]["faithfulness"] == {}


def read(reel, file):
    return reel.storage.get_bytes(file.key, max_bytes=10**7)


def array(reel, file):
    return np.load(io.BytesIO(read(reel, file)), allow_pickle=False)


@pytest.fixture
def version(publish, reel, pictures):
    """Two models, and the version they were made of: two validation frames and a probe picture."""
    publish("mdl_a")
    publish("mdl_b", "efficientnet_lite0")
    rows = []
    for number, pixels in enumerate(pictures):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=95)
        file = reel.storage.put_bytes("pictures", stream.getvalue(), "image/jpeg", ".jpg")
        rows.append(
            ManifestImage(
                id=f"img_{number}", key=file.key, sha256=file.sha256, label="kiki" if number else "howl",
                source="movie", phash="0" * 16, width=pixels.shape[1], height=pixels.shape[0],
                split="probe" if number == 2 else "valid", probe="costumes" if number == 2 else "",
            )
        )  # fmt: skip
    content = manifest.to_bytes(
        Manifest(dataset="d", classes=["howl", "kiki"], request=BuildDatasetVersionRequest(), images=rows)
    )
    stored = reel.storage.put_bytes("manifests", content, "application/json", ".json")
    with transaction() as session:
        row = session.get_one(DatasetVersion, "dsv_1")
        row.manifest, row.manifest_sha256 = stored.model_dump(), stored.sha256
    return rows


def compared(client, **request):
    body = {"models": ["mdl_a", "mdl_b"], "dataset_version_id": "dsv_1", **request}
    answer = client.post("/v1/attention-differences", json=body)
    assert answer.status_code == 202, answer.text
    run_job(COMPARE_ATTENTION, compare_attention, answer.json()["id"])
    with transaction() as session:
        return jobs.get(session, answer.json()["id"])


def test_two_models_are_compared_on_held_out_pictures_class_by_class(client, version, reel) -> None:
    job = compared(client)
    assert job.state == "succeeded", job.error
    result = CompareAttentionResult.model_validate(job.result)
    assert (result.models, result.missing) == (("mdl_a", "mdl_b"), 0)
    assert [(each.label, each.images) for each in result.classes] == [("howl", 1), ("kiki", 1)]
    first = result.classes[0]
    before, after, change = (
        np.array(part) for part in (*(look.heat for look in first.looks), first.difference)
    )
    assert before.sum() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(change, after - before, atol=1e-5)
    drawn = Image.open(io.BytesIO(reel.storage.get_bytes(first.picture.key, max_bytes=10**7)))
    assert drawn.format == "PNG"
    probe = compared(client, probe="costumes", label="kiki")
    assert [(each["label"], each["images"]) for each in probe.result["classes"]] == [("kiki", 1)]


def test_pictures_that_are_gone_are_counted_and_what_is_not_there_is_told(client, version, reel) -> None:
    reel.storage.delete(version[0].key)
    job = compared(client)
    assert (job.state, job.result["missing"]) == ("succeeded", 1)
    assert [each["label"] for each in job.result["classes"]] == ["kiki"]
    assert "its probe sets costumes" in compared(client, probe="masks").error["detail"]
    body = {"models": ["mdl_a", "mdl_b"], "dataset_version_id": "dsv_1"}
    assert client.post("/v1/attention-differences", json={**body, "label": "pluto"}).status_code == 422
    assert (
        client.post("/v1/attention-differences", json={**body, "models": ["mdl_a", "mdl_x"]}).status_code
        == 404
    )
    assert (
        client.post("/v1/attention-differences", json={**body, "dataset_version_id": "dsv_9"}).status_code
        == 404
    )
    assert client.post("/v1/attention-differences", json={**body, "models": ["mdl_a"]}).status_code == 422


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
    assert client.post("/v1/explanations", json={"key": key, "faithfulness": True}).status_code == 403
    reel.configure(web__public_demo="false")
    assert client.post("/v1/explanations", json={"key": key}).status_code == 401


def test_the_api_needs_no_torch():
    code = (
        "import sys, reel_explainer.api; sys.exit('torch' in sys.modules or 'reel_networks' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
