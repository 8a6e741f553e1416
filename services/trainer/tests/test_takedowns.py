"""What stands on pictures that were taken down says so, or is refused."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared import manifest as manifests
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    CHECK_LABELS,
    EXPORT_DATASET,
    BuildDatasetVersionRequest,
    CheckLabelsRequest,
    ExportDatasetRequest,
    TrainModelResult,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, TrainedModel
from reel_shared.manifest import Manifest
from reel_shared.model_card import ModelCard
from reel_shared.runner import run_job
from reel_shared.security import create_key
from reel_trainer import api, catalogue, packing, tasks, views


def test_a_model_inherits_the_take_downs_of_its_version(reel_database, databases):
    with transaction() as session:
        job_id = jobs.submit(session, BUILD_DATASET_VERSION, BuildDatasetVersionRequest()).id
        session.add(
            DatasetVersion(
                id="dsv_1", dataset="d", manifest={}, manifest_sha256="0" * 64, classes=[], counts={}, certificate={},
                takedowns=["tkd_1"], job_id=job_id,
            )
        )  # fmt: skip
    result = TrainModelResult.model_construct(
        model_id="mdl_1", dataset_version_id="dsv_1", recipe="demo", architecture="a", files={}, metrics={}
    )
    with transaction() as session:
        catalogue.write_model(session, result, ModelCard.model_construct(), job_id=job_id, serve=False)
    with transaction() as session:
        model = session.get_one(TrainedModel, "mdl_1")
    assert model.takedowns == ["tkd_1"]
    assert views.model_view(model, aliases={})["takedowns"] == ["tkd_1"]


@pytest.fixture
def version(reel):
    """A stored version of no pictures, with a model of it; calling it takes a picture of it down."""
    manifest = Manifest(dataset="d", classes=[], request=BuildDatasetVersionRequest(), images=[])
    stored = reel.storage.put_bytes("manifests", manifests.to_bytes(manifest), "application/json", ".json")
    with transaction() as session:
        job_id = jobs.submit(session, BUILD_DATASET_VERSION, BuildDatasetVersionRequest()).id
        session.add(
            DatasetVersion(
                id="dsv_1", dataset="d", manifest=stored.model_dump(mode="json"), manifest_sha256=stored.sha256,
                classes=[], counts={}, certificate={}, job_id=job_id,
            )
        )  # fmt: skip
        session.flush()
        session.add(
            TrainedModel(
                id="mdl_1", dataset_version_id="dsv_1", architecture="a", recipe="r", card={}, files={}, metrics={},
                job_id=job_id,
            )
        )  # fmt: skip

    def take_down():
        with transaction() as session:
            session.get_one(DatasetVersion, "dsv_1").takedowns = ["tkd_1"]

    return take_down


@pytest.mark.servers
@pytest.mark.parametrize("path", ["exports", "label-checks"])
def test_a_version_with_take_downs_is_refused_at_the_door(version, path):
    with transaction() as session:
        _, token = create_key(session, "test", ["read", "submit"])
    body = {"dataset_version_id": "dsv_1"} | ({"model": "mdl_1"} if path == "label-checks" else {})
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:
        assert client.post(f"/v1/{path}", json=body).status_code == 202
        version()
        answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert "were taken down since (1 take-down(s)); build a new version" in answer.json()["detail"]


@pytest.mark.servers
@pytest.mark.parametrize(
    ("kind", "function", "request_"),
    [
        (EXPORT_DATASET, tasks.export_dataset, ExportDatasetRequest(dataset_version_id="dsv_1")),
        (CHECK_LABELS, tasks.check_labels, CheckLabelsRequest(dataset_version_id="dsv_1", model="mdl_1")),
    ],
)
def test_and_when_the_job_begins(version, kind, function, request_):
    with transaction() as session:
        job_id = jobs.submit(session, kind, request_).id
    version()
    run_job(kind, function, job_id)
    with transaction() as session:
        job = jobs.get(session, job_id)
    assert (job.state, job.attempt, job.error["status"]) == ("failed", 1, 422)
    assert "taken down" in job.error["detail"]


@pytest.mark.servers
def test_an_export_is_not_published_when_a_picture_goes_while_it_is_packed(reel, version, monkeypatch):
    pack = packing.pack

    def meanwhile(*args, **options):
        version()
        return pack(*args, **options)

    monkeypatch.setattr(packing, "pack", meanwhile)
    with transaction() as session:
        job_id = jobs.submit(session, EXPORT_DATASET, ExportDatasetRequest(dataset_version_id="dsv_1")).id
    run_job(EXPORT_DATASET, tasks.export_dataset, job_id)
    with transaction() as session:
        assert jobs.get(session, job_id).error["status"] == 422
    assert list(reel.storage.list("exports/")) == []
