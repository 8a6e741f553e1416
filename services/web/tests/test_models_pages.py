"""The pages of models: the list, and one model's card, mistakes, attention, history and changes."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from reel_shared.contracts import StoredFile
from reel_shared.contracts.base import Source
from reel_shared.db.engine import transaction
from reel_shared.db.models import AliasChange, TrainedModel
from reel_shared.model_card import EVALUATION, REPORT_HTML
from reel_shared.testing.evaluations import Judged, evaluation
from reel_shared.testing.registry import add_model
from reel_shared.web.app import create_app
from reel_web.pages import router

pytestmark = pytest.mark.servers
HTML = {"Accept": "text/html"}
CLASSES = ["harbor-lights", "kite-weather"]
JUDGED = [
    *(Judged(f"img_{number}", f"images/{number}.jpg", CLASSES[0], CLASSES[0], 0.9) for number in range(7)),
    Judged("img_sure", "images/sure.jpg", CLASSES[0], CLASSES[1], 0.97),
    Judged("img_unsure", "images/unsure.jpg", CLASSES[0], CLASSES[1], 0.55),
    Judged("img_web", "images/web.jpg", CLASSES[1], CLASSES[1], 0.8, Source.WEB),
    Judged("img_probe", "images/probe.jpg", CLASSES[1], CLASSES[0], 0.7, Source.WEB, "cosplay"),
]


@pytest.fixture
def client(reel):
    reel.configure(web__secret="a secret that only this test knows")
    with TestClient(create_app("pages", [router]), headers=HTML, follow_redirects=False) as made:
        yield made


@pytest.fixture
def submitter(client, sign_in):
    sign_in(client, "read", "submit")
    return client


def store(reel, model_id="mdl_1", *, judged=JUDGED, active=True, alarm=False, **card):
    """A model with its evaluation in storage."""
    data = evaluation(model_id, CLASSES, judged, alarm=alarm).model_dump_json().encode()
    stored = reel.storage.put_bytes("models", data, "application/json", ".json")
    files = {
        EVALUATION: stored,
        REPORT_HTML: StoredFile(key="models/r.html", media_type="text/html", size=9, sha256="0" * 64),
    }
    whole = {
        "id": model_id,
        "architecture": "resnet18",
        "classes": CLASSES,
        "size": 128,
        "recipe": {},
        **card,
    }
    with transaction() as session:
        dumped = {name: file.model_dump(mode="json", exclude={"url"}) for name, file in files.items()}
        add_model(session, whole, dumped, version_id="dsv_1", active=active)
        session.get(TrainedModel, model_id).metrics = {
            "all": {
                "accuracy": 0.9637,
                "accuracy_interval": [0.93, 0.98],
                "images": 412,
                "top3_accuracy": 0.99,
            },
            "probe:cosplay": {"accuracy": 0.6, "images": 30},
            "tta:all": {"accuracy": 0.97, "images": 412},
        }


def test_without_models_the_list_says_how_to_begin(submitter):
    assert "/v1/trainings" in submitter.get("/models").text


def test_models_are_for_keys_that_read(client, sign_in):
    assert client.get("/models").status_code == 303
    sign_in(client, "submit")
    assert client.get("/models").status_code == 403


def test_the_list_says_which_model_serves(submitter, reel):
    store(reel)
    store(reel, "mdl_2", active=False, held_out=False)
    rows = submitter.get("/models.json").json()["data"]
    assert [(row["id"], row["number"], row["aliases"]) for row in rows] == [
        ("mdl_2", 2, []),
        ("mdl_1", 1, ["active"]),
    ]
    page = submitter.get("/models").text
    assert '<span class="badge active">active</span>' in page
    assert "96.4 %" in page
    assert "not held out" in page


@pytest.mark.parametrize("name", ["mdl_1", "v1", "active"])
def test_a_model_is_found_by_id_number_and_alias(submitter, reel, name):
    store(reel)
    assert submitter.get(f"/models/{name}.json").json()["model"]["id"] == "mdl_1"


def test_accuracies_stand_with_their_intervals_by_source_and_probe_set(submitter, reel):
    store(reel)
    page = submitter.get("/models/mdl_1").text
    assert "93.0 % to 98.0 %" in page
    assert "Probe set: cosplay" in page
    assert page.count('<svg class="interval"') == 2
    parts = submitter.get("/models/mdl_1.json").json()["parts"]
    assert [part["part"] for part in parts] == ["all", "probe:cosplay"]


def test_a_cell_of_the_confusion_matrix_opens_its_pictures_the_surest_first(submitter, reel):
    store(reel)
    page = submitter.get("/models/mdl_1").text
    [address] = re.findall(
        r'href="([^"#]+)#cell" aria-label="2 of harbor-lights taken for kite-weather"', page
    )
    opened = submitter.get(address.replace("&amp;", "&"), headers={"Accept": "application/json"}).json()
    cell = opened["evaluation"]["cell"]
    assert [picture["id"] for picture in cell["pictures"]] == ["img_sure", "img_unsure"]
    assert all("images/" in picture["url"] for picture in cell["pictures"])
    assert "2 of Harbor lights, taken for Kite weather" in submitter.get(address.replace("&amp;", "&")).text


def test_each_part_has_its_matrix(submitter, reel):
    store(reel)
    counts = {
        part: [
            [cell["images"] for cell in row["cells"]]
            for row in submitter.get(f"/models/v1.json?part={part}").json()["evaluation"]["confusion"]["rows"]
        ]
        for part in ("all", "movie", "web", "probe:cosplay")
    }
    assert counts["all"] == [[7, 2], [0, 1]]
    assert counts["movie"] == [[7, 2], [0, 0]]
    assert counts["web"] == [[0, 0], [0, 1]]
    assert counts["probe:cosplay"] == [[0, 0], [1, 0]]
    for wrong in ("part=moon", "true=moon&predicted=kite-weather"):
        assert submitter.get(f"/models/v1?{wrong}").status_code == 422


def test_wrong_answers_stand_by_their_cost_and_removed_pictures_are_gone(submitter, reel):
    store(reel)
    found = submitter.get("/models/v1.json").json()["evaluation"]["top_losses"]
    assert [picture["id"] for picture in found] == ["img_sure", "img_probe", "img_unsure"]
    page = submitter.get("/models/v1").text
    assert 'data-key="images/sure.jpg" data-labels="kite-weather harbor-lights"' in page
    assert "Show where it looked" in page


def test_calibration_is_drawn_for_each_part(submitter, reel):
    store(reel)
    page = submitter.get("/models/v1").text
    assert page.count('<svg class="chart square"') == 4
    assert "62.0 % count as not confident" in page


def test_an_alarm_of_attention_is_told_and_shown(submitter, reel):
    store(reel, alarm=True)
    page = submitter.get("/models/v1").text
    assert "It leans on what it should not" in page
    assert "Always the same" in page
    assert "odds × 4.30 (2.10 to 8.80)" in page
    assert page.count('<svg class="heat"') == 3


def test_what_can_be_done_depends_on_whether_it_serves(submitter, reel):
    store(reel)
    store(reel, "mdl_2", active=False)
    other, active = submitter.get("/models/mdl_2").text, submitter.get("/models/mdl_1").text
    assert "/v1/models/mdl_2/promote" in other
    assert "Promote although gates fail" in other
    assert "/promote" not in active
    assert "Roll back" not in active
    with transaction() as session:
        moved = {"from_model_id": "mdl_2", "to_model_id": "mdl_1", "reason": "better <b>"}
        session.add(AliasChange(id="alc_1", alias="active", action="promote", **moved))
    active = submitter.get("/models/mdl_1").text
    assert "/v1/models/rollback" in active
    assert "better &lt;b&gt;" in active
    assert "active went to another" in submitter.get("/models/mdl_2").text


def test_who_may_not_submit_is_offered_no_change(client, reel, sign_in):
    store(reel)
    sign_in(client, "read")
    page = client.get("/models/v1").text
    assert 'class="change' not in page
    assert "looks-all" not in page
    assert "/v1/models/mdl_1/report" in page


def test_files_are_downloaded_by_links_that_name_them(submitter, reel):
    store(reel)
    files = submitter.get("/models/v1.json").json()["files"]
    assert [file["name"] for file in files] == [EVALUATION, REPORT_HTML]
    assert "v1-evaluation.json" in files[0]["url"]


def test_while_storage_is_away_the_card_is_shown_and_the_page_says_so(submitter, reel):
    store(reel)
    reel.configure(s3__endpoint="127.0.0.1:1")
    page = submitter.get("/models/v1")
    assert page.status_code == 200
    assert "How it was judged cannot be shown now" in page.text
    assert "96.4 %" in page.text


def test_a_model_from_before_evaluations_says_so(submitter):
    with transaction() as session:
        card = {"id": "mdl_1", "architecture": "resnet18", "classes": CLASSES, "size": 128, "recipe": {}}
        add_model(session, card, {}, version_id="dsv_1")
    assert "before evaluations were stored" in submitter.get("/models/v1").text
    assert submitter.get("/models/v2").status_code == 404
