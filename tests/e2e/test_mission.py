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
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts
from reelsight.demo.mission import Mission
from reelsight.demo.person import Person
from reelsight.platform.stack import Stack
from reelsight.screen import Screen
from reelsight.studio.catalogue import LABELS
from reelsight.studio.films import render_films
from reelsight.studio.server import serve

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
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
            "REEL_INGEST__ALLOWED_HOSTS": json.dumps([studio.host]),
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
                styles={"sketch": "sketches"},
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
        assert counts.kept >= 10
        assert "" not in result.licences


def test_every_copy_and_blur_that_was_planted_is_found_and_nothing_else(facts: Facts) -> None:
    for found in (facts.cleaning.duplicates, facts.cleaning.rejected):
        assert found.planted >= 5
        assert (found.recall, found.precision) == (1.0, 1.0)


def test_the_platform_made_the_variants_by_itself(facts: Facts) -> None:
    for label in facts.titles:
        originals, trained = facts.web_counts(label)
        assert trained > 4 * originals


def test_both_versions_hold_the_same_validation_pictures_and_are_certified(mission: Mission) -> None:
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


def test_two_labels_were_explained_side_by_side(facts: Facts) -> None:
    assert facts.sample is not None
    assert len(facts.sample.explanation.explanations) == 2
    sizes = {Image.open(io.BytesIO(png)).size for _, png in facts.sample.overlays}
    assert len(facts.sample.overlays) == 4
    assert len(sizes) == 1


def test_the_active_model_answers_on_the_demo_page_without_a_key(mission: Mission) -> None:
    assert mission.facts.sample is not None
    base = mission.client.base_url
    page = httpx.get(base, timeout=10)
    assert "script-src" in page.headers["content-security-policy"]
    answer = httpx.post(f"{base}/v1/models/active/predict", content=mission.facts.sample.picture, timeout=10)
    assert answer.json()["model"] == mission.facts.models[EVERYTHING].model_id
    assert httpx.get(f"{base}/v1/models", timeout=10).status_code == 401
