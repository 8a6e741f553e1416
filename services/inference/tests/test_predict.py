"""Probabilities, top labels, and many pictures of which some are bad."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from reel_inference.batching import Batcher
from reel_inference.engine import load_engine
from reel_inference.predict import Bounds, answer, predict_pictures, probabilities, top_labels
from reel_shared import errors

BOUNDS = Bounds(max_pixels=40_000_000, max_bytes=2**20)


def png(colour):
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def engine(make_model):
    return load_engine(make_model("mdl_a", size=8, gain=20.0), lanes=2)


@pytest.fixture
def batcher():
    made = Batcher(lanes=2)
    yield made
    made.close()


def test_softmax_by_hand_and_without_overflow():
    chances = probabilities(np.array([0.0, np.log(3.0)], np.float32), 1.0)
    np.testing.assert_allclose(chances, [0.25, 0.75], rtol=1e-6)
    np.testing.assert_allclose(probabilities(np.array([1e4, 0.0], np.float32), 1.0), [1, 0])
    np.testing.assert_allclose(
        probabilities(np.array([0.0, 2.0], np.float32), 2.0), [0.268941, 0.731059], rtol=1e-5
    )


def test_top_labels_are_sorted_and_sum_to_one_when_all_are_asked_for(engine):
    labels = top_labels(np.array([1, 3, 2, 0], np.float32), engine.card, top_k=10)
    assert [item.label for item in labels] == ["green", "blue", "red", "marker"]
    assert sum(item.probability for item in labels) == pytest.approx(1.0)
    assert [item.probability for item in labels] == sorted(
        (item.probability for item in labels), reverse=True
    )


@pytest.mark.parametrize(("threshold", "sure"), [(0.5, True), (0.7, True), (0.71, False)])
def test_an_answer_is_sure_from_the_cards_threshold_on(engine, threshold, sure):
    chances = np.array([0.7, 0.2, 0.06, 0.04])
    card = engine.card.model_copy(update={"not_sure_below": threshold})
    # a hair above 0.7, for logits are single precision
    found = answer(np.log(chances).astype(np.float32)[None] + np.float32([1e-6, 0, 0, 0]), card, top_k=2)
    assert (found.confident, len(found.predictions), found.model) == (sure, 2, "mdl_a")


class LeftHalf:
    """An engine to which a picture and its mirror image differ: it sees the left half only."""

    def __init__(self, engine):
        self.card, self.size, self.fingerprint = engine.card, engine.size, engine.fingerprint
        self._engine, self.rows = engine, 0

    def infer(self, pictures, lane=None):
        self.rows += len(pictures)
        left = pictures[:, :, : self.size // 2]
        return self._engine.infer(np.concatenate([left, left], axis=2), lane)


def halves(left, right):
    stream = io.BytesIO()
    image = Image.new("RGB", (40, 40), left)
    image.paste(right, (20, 0, 40, 40))
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_mirror_image_counts_three_eighths(engine, batcher, temperature):
    engine.card = engine.card.model_copy(update={"temperature": temperature})
    seeing = LeftHalf(engine)

    def ask(content, tta):
        contents = [lambda: content] * 3
        found = list(predict_pictures(seeing, contents, bounds=BOUNDS, batcher=batcher, top_k=4, tta=tta))
        assert [one.prediction for one in found] == [found[0].prediction] * 3
        return {item.label: item.probability for item in found[0].prediction.predictions}

    plain, mirrored = ask(halves("red", "black"), 0), ask(halves("black", "red"), 0)
    assert seeing.rows == 6
    mean = ask(halves("red", "black"), 1)
    assert seeing.rows == 12
    assert abs(plain["red"] - mirrored["red"]) > 0.2
    for label in plain:
        assert mean[label] == pytest.approx(0.625 * plain[label] + 0.375 * mirrored[label], abs=1e-6)
    assert sum(mean.values()) == pytest.approx(1)


def test_a_bad_picture_fails_alone(engine, batcher):
    contents = [png("red"), b"not a picture", png("lime"), png("red")[:60], png("blue")]
    ask = [lambda c=c: c for c in contents]
    answers = list(predict_pictures(engine, ask, bounds=BOUNDS, batcher=batcher, top_k=1))
    assert [a.prediction and a.prediction.predictions[0].label for a in answers] == [
        "red",
        None,
        "green",
        None,
        "blue",
    ]
    assert [a.error.code if a.error else None for a in answers] == [
        None,
        "bad-picture",
        None,
        "bad-picture",
        None,
    ]


@pytest.mark.parametrize(("pixels", "octets"), [(1199, 2**20), (1200, 60)])
def test_the_bounds_given_hold(engine, batcher, pixels, octets):
    ask = [lambda: png("red")]
    tight = Bounds(max_pixels=pixels, max_bytes=octets)
    (refused,) = predict_pictures(engine, ask, bounds=tight, batcher=batcher, top_k=1)
    assert refused.error.code == "too-large"
    exact = Bounds(max_pixels=1200, max_bytes=len(png("red")))
    (answered,) = predict_pictures(engine, ask, bounds=exact, batcher=batcher, top_k=1)
    assert answered.prediction


def test_a_missing_file_is_its_own_error_and_storage_away_is_everyones(engine, batcher):
    def missing():
        raise errors.NotFound("There is no object pictures/x.")

    def away():
        raise errors.StorageUnavailable("Object storage does not answer.")

    ask = [missing, lambda: png("red")]
    answers = list(predict_pictures(engine, ask, bounds=BOUNDS, batcher=batcher, top_k=1))
    assert answers[0].error.code == "not-found"
    assert answers[1].prediction.predictions[0].label == "red"
    with pytest.raises(errors.StorageUnavailable):
        list(predict_pictures(engine, [lambda: png("red"), away], bounds=BOUNDS, batcher=batcher, top_k=1))


def test_no_more_are_under_way_than_the_lanes_can_queue(engine):
    """And what is under way goes on while earlier answers are written down."""
    batcher = Batcher(lanes=1, bound=3)
    fetched = []

    def fetch(number):
        fetched.append(number)
        return png("red")

    ask = (lambda number=number: fetch(number) for number in range(9))
    answers = predict_pictures(engine, ask, bounds=BOUNDS, batcher=batcher, top_k=1, ahead=3)
    assert next(answers).prediction.predictions[0].label == "red"
    assert set(fetched) <= {0, 1, 2, 3}
    assert len(list(answers)) == 8
    assert sorted(fetched) == list(range(9))
    batcher.close()
