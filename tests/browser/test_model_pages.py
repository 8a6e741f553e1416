"""Trainings, models, jobs and settings as a person uses them, and as axe sees them, light, dark and on a phone."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from PIL import Image as Pillow

from reel_shared import jobs
from reel_shared.contracts import (
    COLLECT_PICTURES,
    TRAIN_MODEL,
    CollectPicturesRequest,
    StoredFile,
    TrainModelRequest,
)
from reel_shared.contracts.base import Source
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import DatasetVersion, ModelAlias, TrainedModel, TrainingMetrics, TrainingState
from reel_shared.model_card import EVALUATION
from reel_shared.storage import storage
from reel_shared.testing.evaluations import Judged, evaluation
from reel_shared.testing.registry import add_model, add_version

pytestmark = [pytest.mark.e2e, pytest.mark.browser]
CLASSES = ["harbor-lights", "kite-weather", "moss-and-ember"]
PHONE = (390, 844)
CERTIFIED = "dsv_certified"
PROOF = {
    "certified": True,
    "shared_scenes": 0,
    "shared_lineages": 0,
    "near_duplicates_across": 0,
    "nearest_distance_across": 12,
    "near_distance": 6,
    "groups": 7,
}


def picture(number: int) -> str:
    buffer = io.BytesIO()
    Pillow.new("RGB", (160, 120), (40 * number % 256, 90, 160)).save(buffer, "JPEG")
    return storage().put_bytes("images", buffer.getvalue(), "image/jpeg", ".jpg").key


def judged_model(model_id: str, *, active: bool) -> None:
    keys = [picture(number) for number in range(4)]
    judged = [
        *(
            Judged(f"img_{number}", keys[number % 4], CLASSES[number % 3], CLASSES[number % 3], 0.9)
            for number in range(12)
        ),
        Judged("img_sure", keys[0], CLASSES[0], CLASSES[1], 0.97),
        Judged("img_unsure", keys[1], CLASSES[0], CLASSES[1], 0.55, Source.WEB),
    ]
    data = evaluation(model_id, CLASSES, judged, alarm=True).model_dump_json().encode()
    stored: StoredFile = storage().put_bytes("models", data, "application/json", ".json")
    card = {"id": model_id, "architecture": "resnet18", "classes": CLASSES, "size": 128, "recipe": {}}
    with transaction() as session:
        files = {EVALUATION: stored.model_dump(mode="json", exclude={"url"})}
        add_model(session, card, files, version_id="dsv_1", active=active)
        row = session.get_one(TrainedModel, model_id)
        row.metrics = {"all": {"accuracy": 0.94, "accuracy_interval": [0.9, 0.97], "images": 14}}


@pytest.fixture(scope="module")
def filled(site):
    """Two judged models of which the first serves, a version to train on, two trainings that run, a job that waits."""
    judged_model("mdl_1", active=True)
    judged_model("mdl_2", active=False)
    with transaction() as session:
        training = jobs.submit(
            session, TRAIN_MODEL, TrainModelRequest(dataset_version_id="dsv_1", recipe="quick")
        ).id
        jobs.claim(session, training)
        other = jobs.submit(
            session, TRAIN_MODEL, TrainModelRequest(dataset_version_id="dsv_1", recipe="demo")
        ).id
        jobs.claim(session, other)
        add_version(session, CERTIFIED)
        session.get_one(DatasetVersion, CERTIFIED).certificate = PROOF
        waiting = jobs.submit(
            session, COLLECT_PICTURES, CollectPicturesRequest(label="kite", query="a kite")
        ).id
    for each in (training, other):
        tell(each, epochs=1)
    return SimpleNamespace(training=training, other=other, waiting=waiting)


def tell(training: str, *, epochs: int) -> None:
    """Let a training have told of its first stage so far."""
    points = [
        {"step": step, "epoch": 1 + (step - 1) // 4, "lr": 1e-3 / step, "momentum": 0.9, "loss": 2.0 / step}
        for step in range(1, 4 * epochs + 1)
    ]
    rows = [
        {"stage": "head", "epoch": epoch, "train_loss": 1.0, "valid_loss": 0.8, "accuracy": 0.5 + epoch / 10,
         "images_per_second": 100.0, "seconds": 2.0}
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    now = {"images_per_second": 100.0, "seconds_left": 20.0, "memory": 2**20}
    with transaction() as session:
        session.merge(
            TrainingMetrics(job_id=training, number=0, stage="head", points=points, epochs=rows, now=now)
        )


def active() -> str:
    with reading() as session:
        return session.get_one(ModelAlias, "active").model_id


def test_a_cell_of_the_confusion_matrix_opens_its_pictures(filled, open_page):
    page = open_page("/models/v1")
    page.click("[aria-label='2 of harbor-lights taken for kite-weather']")
    page.wait_for_selector("#cell h3")
    assert page.locator("#cell .look").count() == 2
    assert "true=harbor-lights" in page.url
    shown = page.locator("#cell img").first
    assert shown.evaluate("async image => { await image.decode(); return image.naturalWidth }") == 160


def test_a_model_is_promoted_against_its_gates_with_a_reason_and_rolled_back(filled, open_page):
    page = open_page("/models/mdl_2")
    page.on("dialog", lambda dialog: dialog.accept())
    page.wait_for_selector(".gates li")
    assert "It may not serve" in page.inner_text("#gates")
    page.get_by_role("button", name="Promote", exact=True).click()
    page.wait_for_selector("#refusal:not([hidden])")
    assert page.locator("#refusal li").count() >= 1
    assert active() == "mdl_1"
    page.get_by_text("Promote although gates fail").click()
    page.fill("[name=reason]", "the browser test wants it")
    with page.expect_navigation():
        page.get_by_role("button", name="Promote all the same").click()
    assert active() == "mdl_2"
    assert "the browser test wants it" in page.inner_text("main")
    with page.expect_navigation(url="**/models/mdl_1"):
        page.get_by_role("button", name="Roll back").click()
    assert active() == "mdl_1"


def test_a_training_is_started_watched_as_it_goes_and_stopped(filled, open_page):
    page = open_page(f"/trainings?version={CERTIFIED}#start")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#recipe option[value=quick]").wait_for(state="attached")
    page.select_option("#recipe", "quick")
    with page.expect_navigation(url="**/trainings/job_*"):
        page.get_by_role("button", name="Start", exact=True).click()
    assert "Queued" in page.inner_text(".facts")
    training = page.url.rpartition("/")[2]
    with transaction() as session:
        asked = jobs.get(session, training).request
        jobs.claim(session, training)
    assert (asked["dataset_version_id"], asked["recipe"], asked["activate"]) == (CERTIFIED, "quick", False)
    for epochs in (1, 2):
        tell(training, epochs=epochs)
        page.locator(f".list.figures tbody tr:nth-child({epochs})").wait_for()
    page.get_by_role("button", name="Stop after this epoch").click()
    page.get_by_text("It will stop when this epoch has ended").wait_for()
    with reading() as session:
        assert session.get_one(TrainingState, training).stop_after_epoch
    with page.expect_navigation():
        page.get_by_role("button", name="Stop now").click()
    assert "Canceling" in page.inner_text(".facts")


def test_a_key_is_shown_once_and_revoked(filled, open_page):
    page = open_page("/settings")
    page.on("dialog", lambda dialog: dialog.accept())
    page.fill("#new-key [name=name]", "a key of the browser")
    page.click("#new-key .button")
    token = page.locator("#token input")
    token.wait_for()
    made = token.input_value()
    assert made.startswith("reel_")
    page.get_by_role("link", name="I have it").click()
    page.goto("/settings")
    assert made not in page.content()
    row = page.locator("tr", has_text="a key of the browser")
    with page.expect_navigation():
        row.get_by_role("button", name="Revoke").click()
    assert "revoked" in row.inner_text()
    refused = page.request.get("/v1/jobs", headers={"Authorization": f"Bearer {made}"})
    assert refused.status == 401


def test_a_waiting_job_is_canceled_and_tried_again(filled, open_page):
    page = open_page(f"/jobs/{filled.waiting}")
    page.on("dialog", lambda dialog: dialog.accept())
    with page.expect_navigation():
        page.get_by_role("button", name="Cancel").click()
    with page.expect_navigation(url="**/jobs/job_*"):
        page.get_by_role("button", name="Try again as a new job").click()
    assert filled.waiting not in page.url
    assert "Queued" in page.inner_text(".facts")


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_pages_suit_everybody(filled, open_page, faults, look):
    page = open_page("/trainings", dark=look == "dark", size=PHONE if look == "phone" else (1280, 860))
    found = []
    for address in addresses(filled):
        page.goto(address)
        if look != "phone":
            found += [f"{address}: {fault}" for fault in faults(page)]
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{address} is {wide} px wider than the screen"] * (wide > 0)
    assert found == [], "\n".join(found)


def addresses(filled):
    cell = "part=all&true=harbor-lights&predicted=kite-weather"
    return (
        "/",
        "/sign-in",
        f"/trainings?version={CERTIFIED}",
        f"/trainings/{filled.training}",
        f"/trainings/compare?id={filled.training}&id={filled.other}",
        "/models",
        f"/models/v1?{cell}",
        "/jobs",
        f"/jobs/{filled.waiting}",
        "/settings",
        "/feedback",
        "/jobs/job_none",  # a refusal, as every page shows one
    )
