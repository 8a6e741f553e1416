"""What is taken down while a job brings the same bytes in again leaves no file, whichever way they come."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as Pillow

from reel_ingest import catalogue
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXTRACT_FRAMES,
    IMPORT_DATASET,
    TAKE_DOWN_PICTURES,
    CollectPicturesRequest,
    ExtractFramesRequest,
    ImportDatasetRequest,
    TakeDownPicturesRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image

pytestmark = pytest.mark.servers


def rows(**filters):
    with transaction() as session:
        return list(session.scalars(sa.select(Image).filter_by(**filters).order_by(Image.id)))


def picture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(cv2.resize(coarse, (300, 200), interpolation=cv2.INTER_NEAREST)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def collect(reel, submit):
    for seed in (1, 2):
        reel.storage.put_at(f"drop/a/{seed}.png", picture(seed), "image/png")

    def do(dataset):
        request = CollectPicturesRequest(dataset=dataset, label="kiki", provider="folder", folder="drop/a")
        return submit(COLLECT_PICTURES, request)

    return do


@pytest.fixture
def imported(reel, submit):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for seed in (1, 2):
            file.writestr(f"kiki/{seed}.png", picture(seed))
    key = reel.storage.put_bytes("uploads", buffer.getvalue(), "application/zip", ".zip").key
    return lambda dataset: submit(IMPORT_DATASET, ImportDatasetRequest(key=key, dataset=dataset))


@pytest.fixture
def extract(reel, film, submit):
    key = reel.storage.put_file("movies", film("numbered.mp4"), "video/mp4", ".mp4").key

    def do(dataset):
        return submit(
            EXTRACT_FRAMES, ExtractFramesRequest(dataset=dataset, label="kiki", key=key, every_frames=24)
        )

    return do


@pytest.mark.parametrize("way", ["collect", "imported", "extract"])
def test_a_running_job_leaves_no_file_of_it(way, request, submit, reel, databases, monkeypatch):
    bring = request.getfixturevalue(way)
    assert bring("before").error is None
    gone, stays = rows(dataset="before", state="active")[:2]
    look, taken = catalogue.taken_down, []

    def meanwhile():
        known = look()
        if not taken:
            wish = TakeDownPicturesRequest(image_id=gone.id, reason="asked")
            taken.append(submit(TAKE_DOWN_PICTURES, wish).state)
            assert not reel.storage.exists(gone.key)
        return known

    monkeypatch.setattr(catalogue, "taken_down", meanwhile)
    job = bring("after")
    assert (job.error, taken) == (None, ["succeeded"])
    assert job.result["counts"]["refused"] == {"taken-down": 1}
    assert gone.sha256 not in {row.sha256 for row in rows(dataset="after")}
    assert [reel.storage.exists(one.key) for one in (gone, stays)] == [False, True]
