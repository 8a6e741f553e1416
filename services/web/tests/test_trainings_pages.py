"""The pages of trainings: the list, one training while it runs and after, and several side by side."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared.contracts import (
    COLLECT_PICTURES,
    TRAIN_MODEL,
    CollectPicturesRequest,
    TrainModelRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, TrainedModel, TrainingMetrics, TrainingState
from reel_shared.errors import BadPicture
from reel_shared.testing.registry import add_version
from reel_shared.web.app import create_app
from reel_web.pages import router

HTML = {"Accept": "text/html"}
STAGES = ("head-128", "whole-160")


@pytest.fixture
def client(reel_database):
    reel_database.configure(web__secret="a secret that only this test knows")
    with TestClient(create_app("pages", [router]), headers=HTML, follow_redirects=False) as made:
        yield made


@pytest.fixture
def submitter(client, sign_in):
    sign_in(client, "read", "submit")
    return client


def train(recipe="quick", *, seed=42, told=True):
    """A training that runs, and what it has told of two stages of two epochs."""
    request = TrainModelRequest(dataset_version_id="dsv_1", recipe=recipe, seed=seed)
    with transaction() as session:
        job_id = jobs.submit(session, TRAIN_MODEL, request).id
        lease = jobs.claim(session, job_id)
        for number, stage in enumerate(STAGES if told else ()):
            points = [
                {
                    "step": 4 * step,
                    "epoch": 1 + step // 3,
                    "lr": 10.0**-step,
                    "momentum": 0.9,
                    "loss": 2.0 / step,
                }
                for step in range(1, 6)
            ]
            epochs = [
                {"stage": stage, "epoch": epoch, "train_loss": 1.5, "valid_loss": 0.7 / epoch, "accuracy": 0.4 * epoch,
                 "accuracy_movie": 0.45 * epoch, "images_per_second": 120.4, "seconds": 3.0}
                for epoch in (1, 2)
            ]  # fmt: skip
            now = {"images_per_second": 121.6, "seconds_left": 75.0, "memory": 3 * 2**20}
            session.add(
                TrainingMetrics(
                    job_id=job_id, number=number, stage=stage, points=points, epochs=epochs, now=now
                )
            )
    return job_id, lease


def finish(job_id, model_id, **recipe):
    """Record the model that a training made."""
    with transaction() as session:
        add_version(session, "dsv_1")
        stages = [{"name": "head-128", "epochs": 2}]
        card = {
            "classes": ["kite"],
            "recipe": {"name": "quick", "stages": stages, **recipe},
        }
        metrics = {"all": {"accuracy": 0.9637, "accuracy_interval": [0.93, 0.98], "images": 412}}
        session.add(
            TrainedModel(
                id=model_id, dataset_version_id="dsv_1", architecture="resnet18", recipe="quick", card=card,
                files={}, metrics=metrics, job_id=job_id,
            )
        )  # fmt: skip
        session.flush()
        jobs.get(session, job_id).state = "succeeded"


def test_without_trainings_the_list_says_how_to_begin(submitter):
    assert "/v1/trainings" in submitter.get("/trainings").text


def test_a_training_is_started_on_a_version_that_may_be_trained_on(client, sign_in):
    with transaction() as session:
        for version_id, certified in (("dsv_1", True), ("dsv_2", False), ("dsv_3", True)):
            add_version(session, version_id)
            row = session.get_one(DatasetVersion, version_id)
            row.certificate = {"certified": certified}
            row.takedowns = ["tkd_1"] if version_id == "dsv_3" else []
    sign_in(client, "read", "submit")
    assert [row["id"] for row in client.get("/trainings.json").json()["versions"]] == ["dsv_1"]
    page = client.get("/trainings?version=dsv_1").text
    assert '<option value="dsv_1" selected>' in page
    assert 'data-path="/v1/trainings"' in page
    sign_in(client, "read")
    assert 'data-path="/v1/trainings"' not in client.get("/trainings").text


def test_trainings_are_for_keys_that_read(client, sign_in):
    assert client.get("/trainings").status_code == 303
    sign_in(client, "submit")
    assert client.get("/trainings").status_code == 403


def test_the_end_of_its_log_stands_on_the_page_of_a_training(submitter):
    job_id, lease = train()
    assert 'id="log"' not in submitter.get(f"/trainings/{job_id}").text
    with transaction() as session:
        jobs.metric(session, lease, {"lines": ["the first"], "skipped": 0}, type="log")
        for number in range(10):
            lines = [f"line {number}-{line}" for line in range(40)]
            jobs.metric(session, lease, {"lines": [*lines, "<b>UserWarning</b>"], "skipped": 7}, type="log")
    page = submitter.get(f"/trainings/{job_id}").text
    assert "line 9-39\n&lt;b&gt;UserWarning&lt;/b&gt;</code>" in page
    assert "… 7 lines more" in page
    assert "the first" not in page
    twin = submitter.get(f"/trainings/{job_id}.json").json()
    assert (len(twin["log"]), twin["log"][-2:]) == (200, ["line 9-39", "<b>UserWarning</b>"])
    assert not any(event["look"] == "log" for event in twin["events"])


def test_the_list_shows_trainings_and_nothing_else(submitter):
    running, _ = train()
    done, _ = train("demo")
    finish(done, "mdl_1")
    with transaction() as session:
        jobs.submit(session, COLLECT_PICTURES, CollectPicturesRequest(label="kite", query="a kite"))
    rows = submitter.get("/trainings.json").json()["data"]
    assert [row["id"] for row in rows] == [done, running]
    assert (rows[0]["accuracy"], rows[0]["model_number"], rows[1]["accuracy"]) == (0.9637, 1, None)
    page = submitter.get("/trainings").text
    assert "96.4 %" in page
    assert "93.0 % to 98.0 %" in page
    assert 'href="/models/mdl_1"' in page


def test_a_running_training_shows_curves_over_its_stages_and_can_be_stopped(submitter):
    job_id, _ = train()
    page = submitter.get(f"/trainings/{job_id}").text
    assert page.count('<svg class="chart"') == 3
    assert page.count('class="band') == 6
    assert all(stage in page for stage in STAGES)
    for words in ("Stop after this epoch", "Stop now", "1 min 15 s", "Pictures a second"):
        assert words in page
    assert 'data-live="yes"' in page
    assert "Resume" not in page
    twin = submitter.get(f"/trainings/{job_id}.json").json()
    assert [(stage["begin"], stage["end"]) for stage in twin["stages"]] == [(0, 20), (20, 40)]
    assert twin["now"]["images_per_second"] == 121.6


def test_a_wish_to_stop_is_shown_and_offered_no_more(submitter):
    job_id, _ = train()
    with transaction() as session:
        session.add(TrainingState(job_id=job_id, stop_after_epoch=True))
    page = submitter.get(f"/trainings/{job_id}").text
    assert "It will stop when this epoch has ended" in page
    assert "Stop after this epoch" not in page


def test_a_failed_training_is_resumed_from_its_checkpoint_or_started_anew(submitter):
    job_id, lease = train(told=False)
    with transaction() as session:
        jobs.fail(session, lease, BadPicture("<b>no</b> picture"))
        checkpoint = {"stage": "head-128", "epoch": 3, "at": "2026-01-01T00:00:00Z", "files": {}}
        session.add(TrainingState(job_id=job_id, checkpoint=checkpoint))
    page = submitter.get(f"/trainings/{job_id}").text
    assert "Resume after epoch 3 of head-128" in page
    assert "Start anew" in page
    assert "Stop" not in page
    assert "<b>no</b>" not in page
    assert "Curves begin with the first batch" in page


def test_who_may_not_submit_is_offered_no_change(client, sign_in):
    job_id, _ = train()
    sign_in(client, "read")
    page = client.get(f"/trainings/{job_id}").text
    assert 'class="change"' not in page


def test_only_a_training_has_such_a_page(submitter):
    with transaction() as session:
        other = jobs.submit(
            session, COLLECT_PICTURES, CollectPicturesRequest(label="kite", query="a kite")
        ).id
    assert submitter.get(f"/trainings/{other}").status_code == 404
    assert submitter.get("/trainings/job_none.json").status_code == 404


def test_two_trainings_side_by_side_show_what_they_were_told_differently(submitter):
    (one, _), (other, _) = train(seed=1), train(seed=2)
    finish(one, "mdl_1", weight_decay=0.01)
    finish(other, "mdl_2", weight_decay=0.1)
    twin = submitter.get(f"/trainings/compare.json?id={one}&id={other}").json()
    assert twin["differences"] == [
        {"name": "seed", "values": ["1", "2"]},
        {"name": "weight_decay", "values": ["0.01", "0.1"]},
    ]
    assert twin["parts"][0]["metrics"][0]["accuracy"] == 0.9637
    page = submitter.get(f"/trainings/compare?id={one}&id={other}").text
    assert page.count('<svg class="chart"') == 4
    assert "v1 quick" in page
    assert "weight_decay" in page


@pytest.mark.parametrize("count", [0, 1, 5])
def test_fewer_than_two_or_more_than_four_are_not_compared(submitter, count):
    query = "&".join(f"id={train(told=False)[0]}" for _ in range(count))
    answer = submitter.get(f"/trainings/compare?{query}")
    assert answer.status_code == 422
    assert "two to four" in answer.text


def test_a_loss_that_is_no_number_leaves_a_gap_and_no_broken_drawing(submitter):
    job_id, _ = train()
    with transaction() as session:
        row = session.get(TrainingMetrics, (job_id, 0))
        row.points = [{**point, "loss": None if point["step"] == 8 else 1e300} for point in row.points]
    page = submitter.get(f"/trainings/{job_id}").text
    assert "nan" not in page
    assert "inf" not in page.replace("information", "")
