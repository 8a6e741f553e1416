"""The whole mission in small, over real queues, storage and HTTP: films and drawings to an explained answer."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from rich.console import Console

from reel_shared.client import Client
from reelsight.demo.collecting import WINDOWS
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, FIRST, Facts
from reelsight.demo.mission import Mission
from reelsight.demo.person import Person
from reelsight.demo.shares import WEB_SHARE
from reelsight.platform.stack import Stack
from reelsight.screen import Screen
from reelsight.studio.catalogue import LABELS
from reelsight.studio.films import render_films
from reelsight.studio.server import serve

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
SEED = 5
SECONDS = 24.0
BORDERED = "moss-and-ember"


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
                recipe="quick",
            )
            made.run()
            yield made


@pytest.fixture(scope="module")
def facts(mission: Mission) -> Facts:
    return mission.facts


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
