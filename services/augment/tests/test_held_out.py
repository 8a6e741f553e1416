"""Gray copies of exactly the pictures that a dataset version validates on."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as Pillow
from pydantic import ValidationError
from starlette.testclient import TestClient

from reel_augment import api
from reel_augment.tasks import make_variants
from reel_shared import jobs
from reel_shared import manifest as manifests
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    MAKE_VARIANTS,
    BuildDatasetVersionRequest,
    MakeVariantsRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, Image, Job
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_shared.runner import run_job
from reel_shared.security import create_key

pytestmark = pytest.mark.servers


def picture(number: int, low: int, high: int) -> bytes:
    pixels = np.random.default_rng(number).integers(low, high, (40, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def version(reel):
    """A stored version of four frames and four drawings, half of each validating; one frame has no contrast."""
    images = []
    with transaction() as session:
        job_id = jobs.submit(session, BUILD_DATASET_VERSION, BuildDatasetVersionRequest()).id
        for number in range(8):
            flat = number == 2
            data = picture(number, 120 if flat else 0, 124 if flat else 255)
            file = reel.storage.put_bytes("pictures", data, "image/png", ".png")
            facts = {
                "id": f"img_{number}", "key": file.key, "sha256": file.sha256, "label": "kiki", "width": 60,
                "height": 40, "source": "movie" if number < 4 else "web", "phash": f"{number:016x}",
            }  # fmt: skip
            images.append(ManifestImage(**facts, split=Side.TRAIN if number % 2 else Side.VALID))
            about = {"dataset": "default", "media_type": file.media_type, "size": file.size, "job_id": job_id}
            session.add(Image(**facts, **about))
        manifest = Manifest(
            dataset="default", classes=["kiki"], request=BuildDatasetVersionRequest(), images=images
        )
        stored = reel.storage.put_bytes(
            "manifests", manifests.to_bytes(manifest), "application/json", ".json"
        )
        session.add(
            DatasetVersion(
                id="dsv_1", dataset="default", manifest=stored.model_dump(mode="json"), manifest_sha256=stored.sha256,
                classes=["kiki"], counts={}, certificate={}, job_id=job_id,
            )
        )  # fmt: skip
    return "dsv_1"


def run(**request) -> Job:
    with transaction() as session:
        job_id = jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest(**request)).id
    run_job(MAKE_VARIANTS, make_variants, job_id)
    with transaction() as session:
        return jobs.get(session, job_id)


def copies() -> Counter:
    with transaction() as session:
        query = sa.select(Image.parent_id, Image.variant).where(Image.parent_id.is_not(None))
        return Counter(tuple(row) for row in session.execute(query))


def test_validation_pictures_get_gray_copies_and_nothing_else_is_made(version):
    job = run(dataset_version_id=version)
    assert job.state == "succeeded", job.error
    assert copies() == {(f"img_{number}", "grayscale"): 1 for number in (0, 4, 6)}, "img_2 has no contrast"
    shown = {name: job.result[name] for name in ("sources", "made", "gray_frames", "already")}
    assert shown == {"sources": 2, "made": {"grayscale": 2}, "gray_frames": 1, "already": 0}
    again = run(dataset_version_id=version)
    assert (again.result["made"], again.result["gray_frames"], again.result["already"]) == ({}, 0, 3)


def test_the_label_and_the_state_of_today_count(version):
    with transaction() as session:
        session.get_one(Image, "img_4").state = "rejected"
        session.get_one(Image, "img_6").label = "mulan"
    assert run(dataset_version_id=version, label="kiki").state == "succeeded"
    assert copies().keys() == {("img_0", "grayscale")}


def test_what_does_not_fit_is_refused(version):
    with transaction() as session:
        _, token = create_key(session, "test", ["submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:

        def post(**body):
            return client.post("/v1/variants", json={"dataset_version_id": version, **body})

        assert post().status_code == 202
        assert post(dataset_version_id="dsv_none").status_code == 404
        other = post(dataset="second")
        assert (other.status_code, "is of the dataset 'default'" in other.json()["detail"]) == (422, True)
        for body in ({"web_share": 0.4}, {"grayscale_frames": True}, {"variants": ["log"]}):
            assert post(**body).status_code == 422
    with pytest.raises(ValidationError, match="nothing else is made"):
        MakeVariantsRequest(dataset_version_id=version, collection_id="col_1")
