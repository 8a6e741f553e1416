"""From a stored model and a picture to explanations; sharing between threads; refusals."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reel_explainer.explain import PictureExplanation, explain_picture
from reel_explainer.model import ExplainableModel, limit_threads, load_model
from reel_networks import gradcam
from reel_shared.contracts import ExplanationOptions
from reel_shared.errors import Corrupt, Unprocessable
from reel_shared.images import preprocess
from reel_shared.model_card import WEIGHTS, ModelCard, facts_of

GRADCAM = ExplanationOptions(methods=["gradcam"])
GUIDED = ExplanationOptions(methods=["guided"])


def decoded(data: bytes | None) -> np.ndarray:
    assert data is not None
    return np.array(Image.open(io.BytesIO(data)))


def test_explains_the_prediction_of_a_picture_that_is_not_square(
    model: ExplainableModel, pictures: list[np.ndarray]
) -> None:
    cat = pictures[0]
    assert cat.shape[0] != cat.shape[1]
    result = explain_picture(model, cat)
    np.testing.assert_array_equal(result.square, preprocess(cat, model.size))
    labels, chances = zip(*result.predictions, strict=True)
    assert set(labels) == set(model.classes)
    assert sum(chances) == pytest.approx(1, abs=1e-5)
    assert list(chances) == sorted(chances, reverse=True)
    (only,) = result.explanations
    assert (only.label, only.probability) == result.predictions[0]
    size = model.size
    assert only.heat.shape == (size // 32, size // 32)
    assert 0 < only.border_share < 1
    for drawn in (decoded(only.gradcam), decoded(only.guided)):
        assert drawn.shape == (size, size, 3)
        assert drawn.std() > 1


def test_equals_its_parts(model: ExplainableModel, pictures: list[np.ndarray]) -> None:
    result = explain_picture(model, pictures[1], ["kiki", "castle"])
    x = model.prepare(preprocess(pictures[1], model.size))
    reference = gradcam.gradcam(model.body, model.head, x, [2, 0])
    assert [e.label for e in result.explanations] == ["kiki", "castle"]
    for place, explanation in enumerate(result.explanations):
        np.testing.assert_allclose(explanation.heat, reference.raw[0, place], rtol=1e-4, atol=1e-7)
        expected = reference.logits.softmax(1)[0, [2, 0][place]]
        assert explanation.probability == pytest.approx(float(expected), rel=1e-4)
    assert result.explanations[0].gradcam != result.explanations[1].gradcam
    assert result.explanations[0].guided != result.explanations[1].guided


def test_methods_are_made_when_asked_for(model: ExplainableModel, pictures: list[np.ndarray]) -> None:
    (heat,) = explain_picture(model, pictures[0], ["howl"], GRADCAM).explanations
    (guided,) = explain_picture(model, pictures[0], ["howl"], GUIDED).explanations
    assert (heat.gradcam is not None, heat.guided is not None) == (True, False)
    assert (guided.gradcam is not None, guided.guided is not None) == (False, True)
    np.testing.assert_allclose(heat.heat, guided.heat, rtol=1e-4, atol=1e-7)


def test_a_label_named_twice_is_explained_once(model: ExplainableModel, pictures: list[np.ndarray]) -> None:
    result = explain_picture(model, pictures[0], ["howl", "kiki", "howl"], GRADCAM)
    assert [explanation.label for explanation in result.explanations] == ["howl", "kiki"]


def test_unknown_labels_are_refused(model: ExplainableModel, pictures: list[np.ndarray]) -> None:
    with pytest.raises(Unprocessable, match="no class 'pluto'; it knows castle, howl"):
        explain_picture(model, pictures[0], ["howl", "pluto"])
    with pytest.raises(Unprocessable, match="no class 'pluto'"):
        explain_picture(model, pictures[0], ["howl"], actual="pluto")


def same(one: PictureExplanation, other: PictureExplanation) -> bool:
    return one.predictions == other.predictions and all(
        np.array_equal(a.heat, b.heat) and a.gradcam == b.gradcam and a.guided == b.guided
        for a, b in zip(one.explanations, other.explanations, strict=True)
    )


def test_eight_threads_share_one_model(model: ExplainableModel, pictures: list[np.ndarray]) -> None:
    jobs = [(pictures[i % 3][i:, i:], [model.classes[i % 5], model.classes[(i + 2) % 5]]) for i in range(16)]
    serial = [explain_picture(model, *job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda job: explain_picture(model, *job), jobs))
    assert all(same(one, other) for one, other in zip(serial, parallel, strict=True))
    assert not same(serial[0], serial[1])


def test_a_stored_model_answers_like_the_one_that_was_saved(
    stored: tuple[ModelCard, Path], network, pictures: list[np.ndarray]
) -> None:
    loaded = load_model(*stored)
    assert not any(part.training for part in (loaded.body, loaded.head))
    assert not any(p.requires_grad for part in (loaded.body, loaded.head) for p in part.parameters())
    result = explain_picture(loaded, pictures[2], options=GRADCAM)
    x = loaded.prepare(preprocess(pictures[2], loaded.size))
    with torch.no_grad():
        expected = network("resnet18")(x).softmax(1)[0]
    for label, probability in result.predictions:
        assert probability == pytest.approx(float(expected[loaded.classes.index(label)]), rel=1e-4)


def test_temperature_cools_probabilities_as_in_serving(
    stored: tuple[ModelCard, Path], pictures: list[np.ndarray]
) -> None:
    card, path = stored
    sharp = explain_picture(load_model(card, path), pictures[2], options=GRADCAM)
    soft = explain_picture(
        load_model(card.model_copy(update={"temperature": 4.0}), path), pictures[2], options=GRADCAM
    )
    ratio = [float(np.log(r.predictions[0][1] / r.predictions[-1][1])) for r in (sharp, soft)]
    assert ratio[0] == pytest.approx(4 * ratio[1], rel=1e-3)


def test_damaged_and_foreign_weights_are_refused(
    stored: tuple[ModelCard, Path], make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    card, path = stored
    other = make_card("resnet34", card.files)
    with pytest.raises(Corrupt, match="does not fit"):
        load_model(other, path)
    with pytest.raises(Corrupt, match="no architecture"):
        load_model(make_card("vgg99", card.files), path)
    pickled = tmp_path / "pickled.safetensors"
    torch.save({"0.weight": torch.zeros(1)}, pickled)
    with pytest.raises(Corrupt, match="not a readable safetensors"):
        load_model(make_card("resnet18", {WEIGHTS: facts_of(pickled)}), pickled)
    with pytest.raises(Corrupt, match="hash"):
        load_model(make_card("resnet18", {}), path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="hash"):
        load_model(card, path)


def test_another_preprocessing_is_refused(stored: tuple[ModelCard, Path]) -> None:
    card, path = stored
    with pytest.raises(Unprocessable, match="train the model again"):
        load_model(card.model_copy(update={"preprocessing": "squash/1"}), path)


@pytest.mark.parametrize(("quota", "least", "most"), [("100000 100000", 1, 1), ("max 100000", 1, 10_000)])
def test_threads_follow_the_quota(tmp_path: Path, quota: str, least: int, most: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert least <= limit_threads(tmp_path) == torch.get_num_threads() <= most
