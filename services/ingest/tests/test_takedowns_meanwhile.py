"""What is taken down while a job brings the same bytes in again leaves no file, whichever way they come."""

from __future__ import annotations

import threading

import pytest

from reel_ingest import admission, catalogue
from reel_shared import object_storage
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
from reel_shared.errors import StorageUnavailable

pytestmark = pytest.mark.servers


@pytest.fixture
def collect(reel, submit, picture):
    for seed in (1, 2):
        reel.storage.put_at(f"drop/a/{seed}.png", picture(seed), "image/png")

    def do(dataset):
        request = CollectPicturesRequest(dataset=dataset, label="kiki", provider="folder", folder="drop/a")
        return submit(COLLECT_PICTURES, request)

    return do


@pytest.fixture
def imported(reel, submit, picture, zipped):
    content = zipped({f"kiki/{seed}.png": picture(seed) for seed in (1, 2)})
    key = reel.storage.put_bytes("uploads", content, "application/zip", ".zip").key
    return lambda dataset: submit(IMPORT_DATASET, ImportDatasetRequest(key=key, dataset=dataset))


@pytest.fixture
def extract(reel, film, submit):
    key = reel.storage.put_file("movies", film("numbered.mp4"), "video/mp4", ".mp4").key

    def do(dataset):
        return submit(
            EXTRACT_FRAMES, ExtractFramesRequest(dataset=dataset, label="kiki", key=key, every_frames=24)
        )

    return do


@pytest.fixture
def taken_meanwhile(submit, reel, monkeypatch):
    """Take a picture down while the next job runs; gives the state of each such job."""

    def do(gone):
        look, taken = catalogue.taken_down, []

        def meanwhile():
            known = look()
            if not taken:
                wish = TakeDownPicturesRequest(image_id=gone.id, reason="asked")
                taken.append(submit(TAKE_DOWN_PICTURES, wish).state)
                assert not reel.storage.exists(gone.key)
            return known

        monkeypatch.setattr(catalogue, "taken_down", meanwhile)
        return taken

    return do


@pytest.mark.parametrize("way", ["collect", "imported", "extract"])
def test_a_running_job_leaves_no_file_of_it(way, request, reel, databases, taken_meanwhile, rows):
    bring = request.getfixturevalue(way)
    assert bring("before").error is None
    gone, stays = rows(dataset="before", state="active")[:2]
    taken = taken_meanwhile(gone)
    job = bring("after")
    assert (job.error, taken) == (None, ["succeeded"])
    assert job.result["counts"]["refused"] == {"taken-down": 1}
    assert gone.sha256 not in {row.sha256 for row in rows(dataset="after")}
    assert [reel.storage.exists(one.key) for one in (gone, stays)] == [False, True]


def test_storage_that_is_away_then_holds_up_nobody_and_the_take_down_can_be_asked_for_again(
    collect, submit, reel, databases, taken_meanwhile, monkeypatch, rows
):
    collect("before")
    gone, _ = rows(dataset="before", state="active")
    taken, others = taken_meanwhile(gone), []
    delete = object_storage.Storage.delete

    def enter():
        with transaction() as session:
            admission.enter(session, "after")

    def away(storage, key):
        if not taken:
            return delete(storage, key)
        other = threading.Thread(target=enter)
        other.start()
        other.join(5)
        others.append(other.is_alive())
        raise StorageUnavailable("Storage does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(object_storage.Storage, "delete", away)
        job = collect("after")
    assert (job.state, others) == ("succeeded", [False])
    assert reel.storage.exists(gone.key)
    again = submit(TAKE_DOWN_PICTURES, TakeDownPicturesRequest(image_id=gone.id, reason="asked"))
    assert (again.state, reel.storage.exists(gone.key)) == ("succeeded", False)


def test_what_a_job_that_failed_put_back_goes_with_the_next_request(collect, submit, reel, rows, picture):
    collect("before")
    gone, _ = rows(dataset="before", state="active")
    wish = TakeDownPicturesRequest(image_id=gone.id, reason="asked")
    submit(TAKE_DOWN_PICTURES, wish)
    left = reel.storage.put_bytes("frames", picture(1), "image/png", ".png")
    also = reel.storage.put_bytes("frames", picture(2), "image/png", ".png")
    if left.sha256 != gone.sha256:
        left, also = also, left
    assert submit(TAKE_DOWN_PICTURES, wish).result["objects"] == 2
    assert [reel.storage.exists(one.key) for one in (left, also)] == [False, True]
