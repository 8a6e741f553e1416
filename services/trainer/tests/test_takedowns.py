"""A model whose pictures were taken down while it was training says so."""

from __future__ import annotations

from reel_shared import jobs
from reel_shared.contracts import BUILD_DATASET_VERSION, BuildDatasetVersionRequest, TrainModelResult
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, TrainedModel
from reel_shared.model_card import ModelCard
from reel_trainer import catalogue, views


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
    assert views.model_view(model, active=None)["takedowns"] == ["tkd_1"]
