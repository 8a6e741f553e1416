"""Batches of explanations over HTTP and as jobs, on real storage and a real database."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from reel_explainer import api
from reel_explainer.explain import explain_picture
from reel_explainer.model import frozen
from reel_explainer.tasks import batches, explain_pictures
from reel_shared import errors, fan_out, jobs
from reel_shared.contracts import (
    EXPLAIN_PART,
    EXPLAIN_PICTURES,
    PREDICT_PICTURES,
    ExplainPictureResult,
    ExplainPicturesRequest,
    ExplainPicturesResult,
    ExplanationOptions,
    PredictPicturesRequest,
    PredictPicturesResult,
)
from reel_shared.db.engine import transact, transaction
from reel_shared.db.models import Job
from reel_shared.jobs import Outcome
from reel_shared.runner import run_job
from reel_shared.security import create_key

pytestmark = pytest.mark.servers
GRADCAM = {"methods": ["gradcam"]}


@pytest.fixture
def caller(reel):
    """A client with these scopes."""

    def do(*scopes: str) -> TestClient:
        with transaction() as session:
            _, token = create_key(session, "test", list(scopes))
        return TestClient(api.app(), headers={"Authorization": f"Bearer {token}"})

    return do


def explained(job_id):
    run_job(EXPLAIN_PICTURES, explain_pictures, job_id)
    with transaction() as session:
        return jobs.get(session, job_id)


def submit(**request):
    with transaction() as session:
        return jobs.submit(session, EXPLAIN_PICTURES, ExplainPicturesRequest(**request)).id


def lines_of(reel, job):
    assert job.state == "succeeded", job.error
    result = ExplainPicturesResult.model_validate(job.result)
    data = reel.storage.get_bytes(result.results.key, max_bytes=10**7)
    return result, [json.loads(line) for line in data.splitlines()]


def test_each_picture_has_its_line_in_order_and_a_broken_one_fails_alone(
    publish, keys, reel, network, make_card, pictures
):
    publish("mdl_a")
    broken = reel.storage.put_bytes("uploads", b"no picture", "image/png").key
    asked = [keys[0], broken, keys[1], "uploads/missing.png", keys[2], *keys * 3]
    result, lines = lines_of(
        reel, explained(submit(keys=asked, labels=["howl", "kiki"], outputs=["overlay", "json"]))
    )
    assert [line["key"] for line in lines] == asked
    assert (result.found, result.count, result.failed, result.model) == (len(asked), len(asked), 2, "mdl_a")
    assert lines[1]["error"]["reason"] == "not-a-picture"
    assert lines[3]["error"]["type"] == "urn:reelsight:problem:not-found"
    model = frozen(network("resnet18"), make_card("resnet18", {}))
    for line, pixels in zip([lines[0], lines[2], lines[4]], pictures, strict=True):
        alone = explain_picture(model, pixels, ["howl", "kiki"], ExplanationOptions(methods=["gradcam"]))
        found = ExplainPictureResult.model_validate(
            {"model": "mdl_a", **{name: value for name, value in line.items() if name != "key"}}
        )
        assert found.predictions[0].label == alone.predictions[0][0]
        for ours, theirs in zip(found.explanations, alone.explanations, strict=True):
            np.testing.assert_allclose(ours.heat, theirs.heat, atol=1e-3 * np.abs(theirs.heat).max())
            drawn = reel.storage.get_bytes(ours.gradcam.key, max_bytes=10**7)
            assert Image.open(io.BytesIO(drawn)).size == (128, 128)
            assert ours.guided is not None


def test_a_folder_is_explained_up_to_the_limit(publish, keys, reel):
    publish("mdl_a")
    result, lines = lines_of(reel, explained(submit(prefix="drop/kiki/", limit=2, **GRADCAM)))
    assert (result.found, result.count) == (3, 2)
    assert [line["key"] for line in lines] == keys[:2]
    nothing, none = lines_of(reel, explained(submit(prefix="drop/howl/", **GRADCAM)))
    assert (nothing.found, nothing.count, none) == (0, 0, [])


@pytest.fixture
def mistaken(publish, keys, judge_by):
    """A model with its evaluation: two mistakes among its validation pictures, one in a probe set."""
    publish("mdl_a")
    judge_by(
        "mdl_a",
        {"key": keys[0], "label": "castle", "right": False, "loss": 1.0},
        {"key": keys[1], "label": "kiki", "right": False, "loss": 3.0, "source": "movie"},
        {"key": keys[2], "label": "mulan"},
        {"key": keys[2], "label": "tarzan", "right": False, "loss": 2.0, "probe": "costumes"},
    )
    return keys


def test_a_models_mistakes_are_explained_for_what_it_said_and_what_was_there(mistaken, reel):
    _, lines = lines_of(reel, explained(submit(mistakes_in="all", **GRADCAM)))
    assert [(line["key"], line["actual"]) for line in lines] == [
        (mistaken[1], "kiki"),
        (mistaken[0], "castle"),
    ]
    for line in lines:
        shown = [one["label"] for one in line["explanations"]]
        assert shown[0] == line["predictions"][0]["label"]
        assert line["actual"] in shown
    parts = {
        part: [line["key"] for line in lines_of(reel, explained(submit(mistakes_in=part, **GRADCAM)))[1]]
        for part in ("web", "movie", "probe", "probe:costumes", "probe:masks")
    }
    assert parts == {
        "web": [mistaken[0]], "movie": [mistaken[1]], "probe": [mistaken[2]], "probe:costumes": [mistaken[2]],
        "probe:masks": [],
    }  # fmt: skip
    _, alone = lines_of(reel, explained(submit(mistakes_in="all", include_actual=False, **GRADCAM)))
    assert all(len(line["explanations"]) == 1 for line in alone)


def test_a_model_that_was_never_judged_has_no_known_mistakes(publish, keys):
    publish("mdl_a")
    job = explained(submit(mistakes_in="all", **GRADCAM))
    assert "published without its evaluation" in job.error["detail"]


@pytest.fixture
def predicted(keys, reel):
    """Makes a prediction job of the model mdl_a: sure of the first picture, not of the others."""
    usual = [
        {"key": keys[0], "predictions": [], "confident": True},
        {"key": keys[1], "predictions": [], "confident": False},
        {"key": "uploads/gone.png", "error": {}},
        {"key": keys[2], "predictions": [], "confident": False},
    ]

    def do(answers=usual) -> str:
        text = "".join(json.dumps(answer) + "\n" for answer in answers).encode()
        file = reel.storage.put_bytes("predictions", text, "application/x-ndjson")
        result = PredictPicturesResult(model="mdl_a", count=len(answers), failed=0, results=file)
        with transaction() as session:
            job_id = jobs.submit(session, PREDICT_PICTURES, PredictPicturesRequest(keys=keys)).id
        run_job(PREDICT_PICTURES, lambda _context, _request: Outcome(result), job_id)
        return job_id

    return do


def test_what_a_prediction_job_was_not_sure_of_is_explained_by_the_model_that_answered(
    predicted, publish, keys, reel
):
    publish("mdl_a")
    job_id = predicted()
    publish("mdl_b", "efficientnet_lite0")
    result, lines = lines_of(reel, explained(submit(not_sure_in=job_id, **GRADCAM)))
    assert result.model == "mdl_a"
    assert [line["key"] for line in lines] == keys[1:]
    other, _ = lines_of(reel, explained(submit(not_sure_in=job_id, model="mdl_b", **GRADCAM)))
    assert other.model == "mdl_b"


def test_pictures_of_an_archive_cannot_be_explained_by_its_job(predicted, publish, reel):
    publish("mdl_a")
    job_id = predicted([{"file": "a.jpg", "predictions": [], "confident": False}])
    assert "came in an archive" in explained(submit(not_sure_in=job_id, **GRADCAM)).error["detail"]


def test_progress_is_told_and_a_batch_stops_when_it_is_canceled(publish, keys, reel, monkeypatch):
    publish("mdl_a")
    monkeypatch.setattr(batches, "PLAIN_PIXELS", 128 * 128)
    job_id = submit(keys=keys * 10, **GRADCAM)
    explain, seen = batches.explain_squares, []

    def cancel_at_the_third(*arguments, **options):
        seen.append(arguments)
        if len(seen) == 3:
            with transaction() as session:
                jobs.cancel(session, job_id)
        return explain(*arguments, **options)

    monkeypatch.setattr(batches, "explain_squares", cancel_at_the_third)
    reel.configure(jobs__heartbeat_seconds="0.05")
    monkeypatch.setattr("reel_shared.runner.PROGRESS_EVERY_SECONDS", 0.0)
    job = explained(job_id)
    assert job.state == "canceled"
    assert 2 <= len(seen) <= 5
    assert (job.progress_total, job.progress_unit) == (30, "pictures")


def test_several_pictures_go_through_the_network_at_once(publish, keys, reel, monkeypatch):
    publish("mdl_a")
    sizes, explain = [], batches.explain_squares

    def counted(model, squares, *rest, **options):
        sizes.append(len(squares))
        return explain(model, squares, *rest, **options)

    monkeypatch.setattr(batches, "explain_squares", counted)
    explained(submit(keys=keys * 15, **GRADCAM))
    assert max(sizes) == 8 * 300**2 // 128**2
    assert sum(sizes) == 45


def parts_of(job_id):
    with transaction() as session:
        found = session.query(Job).filter_by(parent_id=job_id, kind=EXPLAIN_PART.name).order_by(Job.part)
        return [(part.state, part.request["model"], part.result["count"]) for part in found]


def test_a_large_batch_is_cut_and_its_lines_come_in_order(publish, keys, reel, monkeypatch):
    publish("mdl_a")
    monkeypatch.setattr(batches, "PART_PICTURES", 2)
    asked = [keys[0], keys[1], "uploads/missing.png", keys[2], keys[0]]
    job_id = submit(keys=asked, labels=["howl"], alpha=0.4, **GRADCAM)
    job = explained(job_id)
    result, lines = lines_of(reel, job)
    assert (result.found, result.count, result.failed, result.parts) == (5, 5, 1, 3)
    assert parts_of(job_id) == [("succeeded", "mdl_a", n) for n in (2, 2, 1)]
    assert [line["key"] for line in lines] == asked
    assert job.progress_done == job.progress_total == 5
    monkeypatch.undo()
    whole, same = lines_of(reel, explained(submit(keys=asked, labels=["howl"], alpha=0.4, **GRADCAM)))
    assert whole.parts == 1
    assert [line.get("picture") for line in lines] == [line.get("picture") for line in same]
    assert [line.get("explanations", [{}])[0].get("label") for line in lines] == [
        line.get("explanations", [{}])[0].get("label") for line in same
    ]


def test_a_batch_ends_with_the_pictures_and_the_model_that_it_began_with(publish, keys, reel, monkeypatch):
    """Its first attempt dies when its parts are submitted; then the folder grows and another model is promoted."""
    publish("mdl_a")
    monkeypatch.setattr(batches, "PART_PICTURES", 2)
    reel.configure(jobs__retry_base_seconds=0.01)
    job_id = submit(prefix="drop/kiki/", **GRADCAM)

    def die(context, kind, _function, parts, *, unit):
        transact(lambda session: fan_out._submit_missing(session, context, kind, parts))
        raise errors.StorageUnavailable("Storage does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(batches, "fan_out", die)
        explained(job_id)
    publish("mdl_b", "efficientnet_lite0")
    reel.storage.put_at("drop/kiki/0.png", reel.storage.get_bytes(keys[0], max_bytes=10**6), "image/png")
    deadline = time.monotonic() + 10
    while (job := explained(job_id)).state == "queued":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    result, lines = lines_of(reel, job)
    assert (result.model, result.found, job.attempt) == ("mdl_a", 3, 2)
    assert [line["key"] for line in lines] == keys


def test_batches_are_asked_for_and_read_over_http(caller, mistaken, predicted):
    keys, client = mistaken, caller("submit")
    sent = client.post("/v1/explanation-batches", json={"keys": keys, "metadata": {"n": 1}, **GRADCAM})
    assert sent.status_code == 202, sent.text
    path = f"/v1/explanation-batches/{sent.json()['id']}/results"
    assert client.get(path).status_code == 409
    explained(sent.json()["id"])
    answer = client.get(path)
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["key"] for line in lines] == keys
    assert all(one["gradcam"]["url"].startswith("http") for line in lines for one in line["explanations"])
    assert caller("submit").get(path).status_code == 404, "another key's job"
    assert caller("read").get(path).status_code == 200
    for refused in ({"prefix": "drop/"}, {"mistakes_in": "all"}):
        assert client.post("/v1/explanation-batches", json=refused).status_code == 403
        assert caller("read", "submit").post("/v1/explanation-batches", json=refused).status_code == 202
    job_id = predicted()
    assert client.post("/v1/explanation-batches", json={"not_sure_in": job_id}).status_code == 404
    reader = caller("read", "submit")
    assert reader.post("/v1/explanation-batches", json={"not_sure_in": job_id}).status_code == 202
    batch = reader.post("/v1/explanation-batches", json={"not_sure_in": sent.json()["id"]})
    assert (batch.status_code, "name a prediction job" in batch.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"keys": ["uploads/a.png"], "prefix": "drop/"}, {"mistakes_in": "all", "not_sure_in": "job_1"},
     {"prefix": "../etc"}, {"mistakes_in": "train"}, {"keys": ["uploads/a.png"], "labels": ["pluto"]},
     {"keys": ["uploads/a.png"], "limit": 0}],
)  # fmt: skip
def test_what_no_batch_can_mean_is_refused(caller, publish, wrong):
    publish("mdl_a")
    answer = caller("read", "submit").post("/v1/explanation-batches", json=wrong)
    assert answer.status_code == 422, answer.text
