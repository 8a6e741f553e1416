"""The job rank_subjects from marks to rejections and back, on a real database and real storage."""

from __future__ import annotations

import io
import json
import zipfile

import cv2
import numpy as np
import pytest
import simplejpeg
import sqlalchemy as sa
from starlette.testclient import TestClient

from reel_ingest import api, feature_cache
from reel_ingest.tasks.subjects import rank_subjects
from reel_shared.contracts import RANK_SUBJECTS, ImageState
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image, Job, SubjectMark
from reel_shared.runner import run_job
from reel_shared.security import create_key

pytestmark = pytest.mark.servers
SCENES = 80


def frame(scene):
    """Soft shapes; in two scenes of three a dark ring with a red heart."""
    dice = np.random.default_rng(scene)
    coarse = dice.integers((20, 60, 60), (110, 190, 200), (4, 6, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (160, 90), interpolation=cv2.INTER_CUBIC)
    if scene % 3:
        centre = (int(dice.integers(40, 120)), int(dice.integers(30, 60)))
        cv2.circle(picture, centre, 18, (200, 40, 40), -1)
        cv2.circle(picture, centre, 18, (10, 10, 10), 2)
    return simplejpeg.encode_jpeg(picture, quality=90)


@pytest.fixture
def film(reel, add):
    """One frame in storage for each of 80 scenes; a third of them is empty."""
    for scene in range(SCENES):
        stored = reel.storage.put_bytes("frames", frame(scene), "image/jpeg", ".jpg")
        add(f"{scene:02}", movie="mov_1", scene=scene, key=stored.key, size=stored.size)
        with transaction() as session:
            session.get(Image, f"img_{scene:02}").sha256 = stored.sha256


@pytest.fixture
def client(reel):
    with transaction() as session:
        _, token = create_key(session, "test", ["read", "submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture
def mark(client):
    def do(**wanted):
        for kind, scenes in wanted.items():
            body = {"image_ids": [f"img_{scene:02}" for scene in scenes], "mark": kind}
            assert client.post("/v1/subject-marks", json=body).status_code == 200

    return do


def rank(client, status=202, **fields):
    answer = client.post("/v1/subject-rankings", json={"dataset": "d", **fields})
    assert answer.status_code == status, answer.text
    if status != 202:
        return answer.json()
    run_job(RANK_SUBJECTS, rank_subjects, answer.json()["id"])
    with transaction() as session:
        job = session.get(Job, answer.json()["id"])
    assert job.error is None, job.error
    return job.result


def states():
    with transaction() as session:
        return dict(session.execute(sa.select(Image.id, Image.state)).all())


def many(step):
    return [scene for scene in range(60) if (scene % 3 == 0) is step]


def test_imported_frames_may_be_of_any_format(client, film, mark, reel):
    png = cv2.imencode(".png", simplejpeg.decode_jpeg(frame(0), colorspace="BGR"))[1].tobytes()
    stored = reel.storage.put_bytes("pictures", png, "image/png", ".png")
    with transaction() as session:
        row = session.get(Image, "img_00")
        row.key, row.sha256 = stored.key, stored.sha256
    mark(keep=many(False), background=many(True))
    assert rank(client)["features_made"] == SCENES


def test_proposals_are_made_applied_taken_back_and_learnt_from(client, film, mark, reel, databases):
    mark(keep=many(False), background=many(True))
    first = rank(client, precision=0.8)
    assert first["enough"], first["message"]
    assert (first["frames"], first["marked"], first["features_made"]) == (
        80,
        {"keep": 40, "background": 20},
        80,
    )
    assert first["precision"] >= 0.8
    data = reel.storage.get_bytes(first["proposals"]["key"], max_bytes=10**6)
    lines = [json.loads(line) for line in data.splitlines()]
    assert [line["probability"] for line in lines] == sorted(
        (one["probability"] for one in lines), reverse=True
    )
    proposed = {line["image_id"] for line in lines if line["proposed"]}
    assert len(proposed) == first["proposed"]
    assert {f"img_{scene:02}" for scene in many(True)} <= proposed
    assert not proposed & {f"img_{scene:02}" for scene in many(False)}
    assert set(states().values()) == {"active"}

    second = rank(client, precision=0.8, apply=True)
    assert second["features_made"] == 0, "the features were kept"
    assert second["applied"] == second["proposed"] == len(proposed)
    assert {name for name, state in states().items() if state == ImageState.REJECTED} == proposed
    # one is taken back by hand, which is a mark; then all the others, which is none
    unmarked = sorted(proposed - {f"img_{scene:02}" for scene in many(True)})[0]
    body = {"image_ids": [unmarked], "set": {"state": "active"}}
    assert client.post("/v1/image-changes", json=body).json()["changed"] == 1
    undone = client.post(f"/v1/image-changes/{second['batch_id']}/undo").json()
    assert (undone["changed"], undone["skipped"]) == (len(proposed) - 1, 1)
    assert set(states().values()) == {"active"}
    third = rank(client, precision=0.8)
    assert third["marked"] == {"keep": 41, "background": 20}
    with transaction() as session:
        assert session.get(SubjectMark, unmarked).mark == "keep"


def test_few_marks_reject_nothing(client, film, mark):
    mark(keep=many(False)[:4], background=many(True)[:4])
    found = rank(client, apply=True)
    assert (found["enough"], found["applied"], found["batch_id"]) == (False, 0, None)
    assert "Nothing was rejected" in found["message"]
    assert set(states().values()) == {"active"}


def test_without_marks_of_both_kinds_it_is_refused(client, film, mark):
    assert "0 frames marked keep" in rank(client, 422)["detail"]
    mark(keep=[1, 2])
    assert "mark some of both" in rank(client, 422)["detail"]
    mark(background=[3])
    rank(client, 422, label="mulan")
    rank(client, 422, movie_id="mov_2")
    assert rank(client, 422, precision=1.0)


def torn(archive):
    """Spoil what is packed in an archive, not what says where it lies."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        start = file.getinfo("shapes.npy").header_offset + 100
    return archive[:start] + b"\xff" * 500 + archive[start + 500 :]


def other(archive):
    content = io.BytesIO()
    np.savez(content, sha256=np.array(["a", "b"]), shapes=np.zeros((1, 2)), colours=np.zeros((1, 2)))
    return content.getvalue()


@pytest.mark.parametrize("damage", [torn, other, lambda archive: b"not an archive", lambda archive: b""])
def test_a_damaged_cache_is_made_anew(client, film, mark, reel, damage):
    mark(keep=[1, 2, 4], background=[0, 3, 6])
    assert rank(client)["features_made"] == SCENES
    key = feature_cache._key("d")
    damaged = damage(reel.storage.get_bytes(key, max_bytes=10**7))
    reel.storage.put_at(key, damaged, "application/octet-stream")
    assert rank(client)["features_made"] == SCENES
    assert rank(client)["features_made"] == 0


def test_what_is_away_or_of_no_film_is_not_ranked(client, film, mark, add):
    add("web", sha="w")
    with transaction() as session:
        session.get(Image, "img_79").state = "removed"
        session.get(Image, "img_78").state = "rejected"
    mark(keep=[1, 2, 4], background=[0, 3, 6])
    found = rank(client)
    assert (found["frames"], found["features_made"]) == (78, 78)
    answer = client.post("/v1/subject-marks", json={"image_ids": ["img_79"], "mark": "keep"})
    assert answer.status_code == 422
