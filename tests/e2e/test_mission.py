"""The whole mission in small, over real queues, storage and HTTP: films and drawings to an explained answer; and what a
person does with what it has made, in a real Chromium before the same platform."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser
from rich.console import Console

from reel_shared.client import Client
from reel_shared.contracts import JsonObject
from reel_shared.contracts.recipes import Recipe, Stage
from reel_shared.settings import settings
from reel_shared.testing.browser import Faults, Open, give, pages
from reelsight.demo.collecting import WINDOWS
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, FIRST, Facts
from reelsight.demo.mission import Mission
from reelsight.demo.person import Person
from reelsight.demo.shares import WEB_SHARE
from reelsight.platform.stack import CLIENT_FILE, Stack
from reelsight.screen import Screen
from reelsight.studio.catalogue import LABELS
from reelsight.studio.films import render_films
from reelsight.studio.server import serve

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
SEED = 5
SECONDS = 24.0
BORDERED = "moss-and-ember"
RECIPE = Recipe(
    name="small",
    description="As `quick`, but long enough to learn whichever scenes are held out; that differs by run.",
    architecture="efficientnet_lite0",
    weights="package",
    weight_decay=0.01,
    sampling="balanced",
    tta=0,
    stages=[
        Stage(name="head", size=96, batch_size=16, frozen=True, train_bn=False, epochs=6, lr_max=1e-2),
        Stage(name="all", size=96, batch_size=16, frozen=False, epochs=2, lr_max=(2e-4, 2e-3)),
    ],
)
KINDS_SHOWN = ("trainer.train_model", "explainer.explain_picture")
LABELLED = 20
SECONDS_OF_A_JOB = 90.0
"""A training's process takes its time to import torch, on a machine that others use too."""


@pytest.fixture(scope="module")
def mission(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mission]:
    data = tmp_path_factory.mktemp("mission")
    with pytest.MonkeyPatch.context() as patch, serve(data / "drawings", seed=SEED) as studio:
        patch.setenv("REEL_DATA_DIR", str(data))
        films = render_films(data / "films", seed=SEED, seconds=SECONDS)
        env = {
            "REEL_INGEST__OPENVERSE_URL": studio.url,
            "REEL_INGEST__WIKIMEDIA_URL": studio.commons_url,
            "REEL_INGEST__CONTACT": studio.url,
            "REEL_INGEST__ALLOWED_HOSTS": json.dumps([studio.host]),
            "REEL_INGEST__FETCHES_PER_HOST_PER_SECOND": "100",
        }
        with Stack(data / "platform", extra_env=env) as stack:
            client = Client(stack.access.url, stack.access.token)
            screen = Screen(Console(file=io.StringIO()))
            made = Mission(
                client,
                films,
                dataset="small",
                screen=screen,
                offers=studio.offers,
                person=Person(LABELS, seed=SEED, seconds=SECONDS),
                styles=("sketch", "drawing"),
                recipe=RECIPE,
            )
            made.run()
            yield made


@pytest.fixture(scope="module")
def facts(mission: Mission) -> Facts:
    return mission.facts


@pytest.fixture(scope="module")
def token(mission: Mission) -> str:
    """Of the platform's first key."""
    return str(json.loads((settings().data_dir / CLIENT_FILE).read_text())["token"])


def test_films_became_frames_with_scenes_and_only_the_bordered_one_was_cut(facts: Facts) -> None:
    assert {label for label, film in facts.films.items() if any(film.crop)} == {BORDERED}
    for film in facts.films.values():
        assert film.counts.kept > 5
        assert film.scenes > 1
        assert (film.codec, film.frame_rate) == ("h264", 24.0)


def test_every_candidate_is_accounted_for(facts: Facts) -> None:
    for _, _, result in facts.collections:
        counts = result.counts
        aside = counts.exact_duplicates + counts.near_duplicates + counts.conflicts
        assert counts.seen == counts.kept + aside + sum(counts.rejected.values()) + sum(
            counts.refused.values()
        )
        assert counts.kept >= 8
        assert "" not in result.licences


def test_every_copy_conflict_and_blur_that_was_planted_is_found_and_nothing_else(facts: Facts) -> None:
    for found in (facts.cleaning.duplicates, facts.cleaning.conflicts, facts.cleaning.rejected):
        assert found.planted >= 5
        assert (found.recall, found.precision) == (1.0, 1.0)


def test_windows_of_time_give_each_drawing_of_their_days_once(facts: Facts) -> None:
    assert len(facts.windows) == WINDOWS
    assert [window.given for window in facts.windows] == [window.planted for window in facts.windows]
    assert min(window.given for window in facts.windows) > 0


def test_a_person_decided_the_conflicts_and_one_picture_is_gone(facts: Facts) -> None:
    made = facts.decisions
    assert (made.conflicts.planted, made.conflicts.right, made.conflicts.wrong) == (5, 5, 0)
    assert made.taken_down is not None
    assert (made.taken_down.variants > 0, made.taken_down.left) == (True, 0)
    assert made.taken_down.marked == {facts.versions[FIRST].dataset_version_id}


def test_the_second_version_differs_as_the_person_decided(facts: Facts) -> None:
    assert facts.change is not None
    assert facts.decisions.pinned is not None
    assert facts.change.strays == []
    assert facts.change.diff.counts["added"] == len(facts.decisions.kept) == 5
    assert facts.change.diff.counts["removed"] == 1
    assert facts.change.diff.counts["moved"] >= len(facts.decisions.pinned.frames) > 1


def test_the_probe_set_judges_and_teaches_nothing(facts: Facts) -> None:
    assert facts.probe is not None
    assert (facts.probe.judged, facts.probe.trained_on) == (facts.probe.planted, 0)
    assert facts.models[EVERYTHING].metrics["probe:cosplay"].images == facts.probe.planted


def test_the_version_comes_back_from_its_export_as_it_was(facts: Facts) -> None:
    assert facts.round_trip is not None
    assert not facts.round_trip.differing
    assert facts.round_trip.same == facts.round_trip.pictures > 100


def test_the_certificate_is_whole_and_its_closest_pairs_have_their_credits(facts: Facts) -> None:
    assert facts.proof is not None
    assert facts.proof.certificate.certified
    shown = [side for pair in facts.proof.by_hash for side in (pair.held_out, pair.train)]
    assert {Image.open(io.BytesIO(each.content)).format for each in shown} <= {"JPEG", "PNG", "WEBP", "GIF"}
    credits = [each.credit for each in shown if " at " not in each.caption]
    assert all(
        credit is not None and credit.creator and credit.licence and credit.page_url for credit in credits
    )


def test_variants_bring_every_class_to_the_wanted_share_or_as_far_as_there_are_any(facts: Facts) -> None:
    """So few frames give a share that the variants made by themselves have passed already."""
    for label in facts.titles:
        originals, trained = facts.web_counts(label)
        assert trained > originals
        assert facts.shares[label] >= WEB_SHARE


def test_both_trained_versions_hold_the_same_validation_pictures_and_all_are_certified(
    mission: Mission,
) -> None:
    held_out = {}
    for name, version in mission.facts.versions.items():
        assert version.certificate.certified
        answer = mission.client.dataset_version(version.dataset_version_id)
        images = json.loads(mission.client.download(answer["manifest"]["url"]))["images"]
        held_out[name] = {image["id"] for image in images if image["split"] == "valid"}
    assert held_out[FILMS_ONLY] == held_out[EVERYTHING] != set()


def test_the_models_learned_and_say_how(facts: Facts) -> None:
    for result in facts.models.values():
        assert [stage.size for stage in result.stages] == sorted(stage.size for stage in result.stages)
        assert result.metrics["movie"].accuracy > 0.5
        assert {"weights.safetensors", "model.onnx", "model.json"} <= result.files.keys()
    assert facts.accuracy(EVERYTHING, "web") > facts.accuracy(FILMS_ONLY, "web")


def test_the_full_model_serves_through_its_gates_against_the_film_only_one(
    mission: Mission, facts: Facts
) -> None:
    assert facts.promotion is not None
    assert (facts.promotion.serves, facts.promotion.report.passed) == (True, True)
    assert facts.promotion.report.against == facts.models[FILMS_ONLY].model_id
    compared = {gate.part: gate.state for gate in facts.promotion.report.gates if gate.name == "regression"}
    assert compared["all"] == compared["web"] == "passed"
    changes = list(mission.client.alias_changes(alias="active"))
    assert [row["to_model_id"] for row in changes] == [
        facts.models[name].model_id for name in (EVERYTHING, FILMS_ONLY)
    ]
    assert [row["failed_gates"] for row in changes] == [[], []]


def test_two_labels_were_explained_side_by_side(facts: Facts) -> None:
    assert facts.sample is not None
    assert len(facts.sample.explanation.explanations) == 2
    sizes = {Image.open(io.BytesIO(overlay.content)).size for overlay in facts.sample.overlays}
    assert len(facts.sample.overlays) == 4
    assert len(sizes) == 1
    assert all(overlay.credit == facts.sample.picture.credit for overlay in facts.sample.overlays)
    assert facts.sample.picture.credit is not None


def test_the_active_model_answers_on_the_demo_page_without_a_key(mission: Mission) -> None:
    assert mission.facts.sample is not None
    base = mission.client.base_url
    page = httpx.get(base, timeout=10)
    assert "script-src" in page.headers["content-security-policy"]
    answer = httpx.post(
        f"{base}/v1/models/active/predict", content=mission.facts.sample.picture.content, timeout=10
    )
    assert answer.json()["model"] == mission.facts.models[EVERYTHING].model_id
    assert httpx.get(f"{base}/v1/models", timeout=10).status_code == 401


def test_every_page_has_a_json_twin_of_the_same_facts(mission: Mission, facts: Facts, token: str) -> None:
    """What a script reads is what the page shows: the same address, and `.json`."""
    base, client = mission.client.base_url, mission.client
    trained, explained = (next(iter(client.jobs(kind=kind, state="succeeded")))["id"] for kind in KINDS_SHOWN)
    both = "&".join(f"id={job['id']}" for job in client.jobs(kind=KINDS_SHOWN[0], state="succeeded"))
    version, model = facts.versions[EVERYTHING].dataset_version_id, facts.models[EVERYTHING].model_id
    picture = next(iter(client.images(dataset="small", source="movie")))["id"]
    hook = client.add_webhook("https://hooks.example.com/reelsight")["id"]
    shown = {
        "/feedback": "", "/datasets": "small", "/datasets/small": picture[:4], f"/pictures/{picture}": picture,
        "/review?dataset=small": "", f"/datasets/small/versions/{version}": version, "/trainings": trained,
        f"/trainings/{trained}": trained, f"/trainings/compare?{both}": trained, "/models": "",
        f"/models/{model}": model, "/jobs": "", f"/jobs/{trained}": trained, "/settings": hook,
        f"/settings/webhooks/{hook}": hook, f"/answers/{explained}": "", "/sign-in": "", "/": "",
    }  # fmt: skip
    with httpx.Client(base_url=base, timeout=30, trust_env=False) as browser:
        browser.post("/sign-in", data={"key": token})
        for page, fact in shown.items():
            path, _, query = page.partition("?")
            twin = browser.get(f"{'/index' if path == '/' else path}.json?{query}")
            drawn = browser.get(page, headers={"Accept": "text/html"})
            assert (twin.status_code, drawn.status_code) == (200, 200), page
            assert isinstance(twin.json(), dict), page
            assert "<main" in drawn.text
            assert fact in drawn.text, page
            assert fact in twin.text, page


# --- in a browser: what follows changes what the mission left, so it stands last, in this order -----------------------


@pytest.fixture(scope="module")
def browse(mission: Mission, token: str, chromium: Browser) -> Iterator[Open]:
    """Open pages as somebody who has signed in, by the form, with the platform's first key."""
    with pages(chromium, mission.client.base_url, patience=SECONDS_OF_A_JOB) as opened:
        page = opened("/datasets")
        page.fill("[name=key]", token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/datasets")
        state = page.context.storage_state()
        yield lambda path="/", **options: opened(path, storage_state=state, **options)


@pytest.mark.browser
def test_a_visitor_tries_drawings_and_compares_two_films(
    mission: Mission, chromium: Browser, faults: Faults
) -> None:
    sample = mission.facts.sample
    assert sample is not None
    first, second = (guess.label for guess in sample.answers[EVERYTHING][:2])
    found = next(mission.client.images(dataset="small", label=second, source="web", state="active"))
    drawing = mission.client.download(found["url"])
    with pages(chromium, mission.client.base_url, patience=SECONDS_OF_A_JOB) as visit:
        page = visit()
        give(page, "drop", sample.picture.content)
        page.wait_for_selector(f"#rows button[data-label={first}][aria-pressed=true]")
        page.locator("#overlay[src]").wait_for()
        page.select_option("#versus", second)
        page.locator("#overlay2[src]").wait_for()
        sides = [page.locator(f"#{name}").get_attribute("src") for name in ("overlay", "overlay2")]
        assert sides[0] != sides[1]
        assert faults(page) == []
        ways = {
            "paste": lambda: give(page, "paste", drawing),
            "example": lambda: page.locator(".examples button").last.click(),
        }
        for act in ways.values():
            with page.expect_response("**/predict*") as answered:
                act()
            best = answered.value.json()["predictions"][0]["label"]
            page.wait_for_selector(f"#rows tr:first-child button[data-label={best}]")
            page.locator("#overlay[src]").wait_for()


@pytest.mark.browser
def test_twenty_pictures_are_labelled_by_keyboard_with_undo(
    mission: Mission, browse: Open, faults: Faults
) -> None:
    """What somebody doubts in the data set goes to review, where every decision is a key."""
    page = browse("/datasets/small?source=web&state=active")
    page.locator("#tiles input[type=checkbox]").first.focus()
    page.keyboard.press("Space")
    for _ in range(LABELLED - 1):
        page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector(f"#count:has-text('{LABELLED} chosen')")
    assert faults(page) == []
    page.keyboard.press("q")
    page.wait_for_selector(f"#said:has-text('{LABELLED} pictures')")
    page.goto("/review?dataset=small&kind=quarantined")
    assert faults(page) == []
    classes = json.loads(page.locator("#cases").get_attribute("data-labels") or "")
    decided: dict[str, str] = {}
    while len(decided) < LABELLED:
        case = page.wait_for_selector(_not_among(decided))
        image, key = case.get_attribute("data-id") or "", "k2x"[len(decided) % 3]
        page.keyboard.press(key)
        if len(decided) == 2:
            page.wait_for_selector(_not_among({**decided, image: key}))
            page.keyboard.press("u")
            page.wait_for_selector(f".case.current[data-id={image}]")
            page.wait_for_selector("#said:has-text('Taken back')")
            page.keyboard.press(key)
        decided[image] = key
    _happens(lambda: not any(row["state"] == "quarantined" for row in _rows(mission, decided)))
    for row in _rows(mission, decided):
        assert row["state"] == ("rejected" if decided[row["id"]] == "x" else "active")
        assert decided[row["id"]] != "2" or row["label"] == classes[1]


def _not_among(decided: dict[str, str]) -> str:
    return ".case.current" + "".join(f":not([data-id={image}])" for image in decided)


def _rows(mission: Mission, images: dict[str, str]) -> list[JsonObject]:
    found = mission.client.images(dataset="small", source="web", variant="original")
    return [row for row in found if row["id"] in images]


def _happens(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_OF_A_JOB
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.browser
def test_a_scene_is_pinned_and_the_certificate_changes(facts: Facts, browse: Open, faults: Faults) -> None:
    version = facts.versions[EVERYTHING].dataset_version_id
    page = browse(f"/datasets/small/versions/{version}")
    page.wait_for_selector(".certificate .verdict:has-text('Certified')")
    assert faults(page) == []
    before = page.inner_text(".certificate")
    scene = page.locator(".scene.train:not(.pinned)").first
    film = scene.locator("xpath=..").get_attribute("data-movie")
    number = scene.get_attribute("data-scene")
    scene.click()
    page.wait_for_selector("#scene[open] #scene-pictures img")
    page.keyboard.press("v")
    page.wait_for_selector(f"[data-movie={film}] .scene.pinned[data-scene='{number}']")
    page.click("#build")
    page.wait_for_url(lambda url: "/versions/dsv_" in url and version not in url)
    page.wait_for_selector(f"[data-movie={film}] .scene.valid.pinned[data-scene='{number}']")
    assert page.inner_text(".certificate .verdict") == "Certified"
    # as many pictures may be held out as before: the others are shared out anew
    assert page.inner_text(".certificate") != before


@pytest.mark.browser
def test_a_training_is_started_watched_and_stopped(facts: Facts, browse: Open, faults: Faults) -> None:
    page = browse(f"/trainings?version={facts.versions[EVERYTHING].dataset_version_id}")
    page.wait_for_selector("#recipe option[value=demo]", state="attached")
    assert faults(page) == []
    page.select_option("#recipe", "demo")
    with page.expect_navigation(url="**/trainings/job_*"):
        page.get_by_role("button", name="Start", exact=True).click()
    page.locator(".charts svg").first.wait_for()
    page.wait_for_selector("#log:has-text('recipe demo: ')")
    assert faults(page) == []
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop now").click()
    page.locator(".facts .state.canceled").wait_for()


@pytest.mark.browser
def test_a_confusion_cell_shows_its_pictures_and_a_model_is_promoted_and_rolled_back(
    mission: Mission, facts: Facts, browse: Open, faults: Faults
) -> None:
    better, worse = (facts.models[name].model_id for name in (EVERYTHING, FILMS_ONLY))
    page = browse(f"/models/{better}")
    cell = page.locator(".matrix a").first
    count = int(cell.inner_text())
    cell.click()
    shown = page.locator("#cell img")
    shown.first.wait_for()
    assert shown.first.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 0
    assert f"{count} of " in page.inner_text("#cell h3")
    assert faults(page) == []
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"/models/{worse}")
    page.get_by_text("Promote although gates fail").click()
    page.fill("[name=reason]", "to see that it is worse")
    with page.expect_navigation():
        page.get_by_role("button", name="Promote all the same").click()
    assert mission.client.model("active")["id"] == worse
    with page.expect_navigation(url=f"**/models/{better}"):
        page.get_by_role("button", name="Roll back").click()
    assert mission.client.model("active")["id"] == better


@pytest.mark.browser
def test_a_key_is_made_and_revoked_and_the_other_pages_keep_nobody_out(
    mission: Mission, browse: Open, faults: Faults
) -> None:
    page = browse("/settings")
    page.on("dialog", lambda dialog: dialog.accept())
    page.fill("#new-key [name=name]", "a key of the browser")
    page.click("#new-key .button")
    page.locator("#token input").wait_for()
    token = page.locator("#token input").input_value()
    assert httpx.get(f"{mission.client.base_url}/v1/jobs", headers=bearer(token)).status_code == 200
    page.get_by_role("link", name="I have it").click()
    page.goto("/settings")
    with page.expect_navigation():
        page.locator("tr", has_text=token[: len("reel_0123456789ab")]).get_by_role(
            "button", name="Revoke"
        ).click()
    assert httpx.get(f"{mission.client.base_url}/v1/jobs", headers=bearer(token)).status_code == 401
    job = next(iter(mission.client.jobs(kind="trainer.train_model", state="succeeded")))["id"]
    picture = next(iter(mission.client.images(dataset="small", source="movie")))["id"]
    for path in (
        "/settings",
        "/jobs",
        f"/jobs/{job}",
        f"/trainings/{job}",
        "/models",
        f"/pictures/{picture}",
    ):
        page.goto(path)
        assert faults(page) == [], path


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
