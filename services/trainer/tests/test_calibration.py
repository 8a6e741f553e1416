"""Temperatures, reliability and the threshold below which a model is not sure, against slower ways to find them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from reel_shared.model_card import NOT_SURE_BELOW
from reel_trainer.abstention import ENOUGH_GROUPS, POINTS, propose
from reel_trainer.calibration import (
    BINS,
    calibration_error,
    fit,
    fit_temperature,
    log_probabilities,
    reliability,
    scaling,
)


def drawn(count, *, hot=1.0, classes=4, seed=0):
    """Logits whose softmax is true, multiplied by ``hot``, and labels drawn by it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, classes)) * 2
    chances = np.exp(log_probabilities(logits))
    truth = np.array([rng.choice(classes, p=row) for row in chances])
    return (logits * hot).astype(np.float32), truth


def groups(count, size=5):
    return [f"g{index // size}" for index in range(count)]


@pytest.mark.parametrize("hot", [0.4, 1.0, 3.0])
def test_the_temperature_is_what_the_logits_were_multiplied_by(hot):
    logits, truth = drawn(4000, hot=hot)
    assert fit_temperature(logits, truth) == pytest.approx(hot, rel=0.08)


def test_the_temperature_has_the_least_loss_of_all():
    logits, truth = drawn(200, hot=2.0, seed=3)
    given = 1 / (len(truth) + 1)

    def loss(log_temperature):
        sure = log_probabilities(logits, np.exp(log_temperature))
        own = sure[np.arange(len(truth)), truth]
        return -((1 - given) * own + given * sure.mean(axis=1)).sum()

    wanted = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x)
    assert fit_temperature(logits, truth) == pytest.approx(wanted, rel=1e-4)


def test_a_few_pictures_that_are_all_right_do_not_make_it_sure_without_limit():
    truth = np.arange(12) % 3
    logits = np.eye(3, dtype=np.float32)[truth] * 2
    confidence = np.exp(log_probabilities(logits, fit_temperature(logits, truth))).max()
    assert 0.9 < confidence < 0.97, "12 right of 12 are worth no more"


def test_no_picture_is_scaled_by_what_its_own_group_taught():
    logits, truth = drawn(100, hot=3.0)
    before = fit(logits, truth, groups(100), held_out=True)
    twisted = truth.copy()
    twisted[:5] = logits[:5].argmin(axis=1)  # the group g0, wrong and sure of it
    after = fit(logits, twisted, groups(100), held_out=True)
    assert before.folds == after.folds == 5
    np.testing.assert_array_equal(before.each[:5], after.each[:5])
    assert after.temperature > before.temperature
    assert len(np.unique(before.each)) == 5


def test_where_nothing_can_be_fitted_the_logits_stay_and_a_note_says_why():
    logits, truth = drawn(100, hot=3.0)
    refit = fit(logits, truth, groups(100), held_out=False)
    assert (refit.temperature, refit.folds, set(refit.each)) == (1.0, 0, {1.0})
    assert "trained on these pictures too" in refit.note
    alone = fit(logits, truth, ["one"] * 100, held_out=True)
    assert (alone.temperature, alone.folds) == (1.0, 0)
    assert "hang together" in alone.note


def test_a_temperature_that_does_not_help_on_others_is_not_taken():
    _, truth = drawn(8)
    # what the one group teaches is wrong of the other
    sure = (
        np.eye(4, dtype=np.float32)[truth] * np.array([8, 8, 8, 8, 0.1, 0.1, 0.1, 0.1], np.float32)[:, None]
    )
    truth[4:] = (truth[4:] + 1) % 4
    found = fit(sure, truth, ["a"] * 4 + ["b"] * 4, held_out=True)
    assert found.temperature == 1.0
    assert "No temperature helps" in found.note


def test_before_and_after_say_what_scaling_does():
    logits, truth = drawn(3000, hot=3.0)
    found = scaling(log_probabilities(logits), log_probabilities(logits, 3.0), truth)
    assert found.images == 3000
    assert found.log_loss_scaled < found.log_loss
    assert found.calibration_error_scaled < 0.03 < found.calibration_error
    for bins, error in (
        (found.reliability, found.calibration_error),
        (found.reliability_scaled, found.calibration_error_scaled),
    ):
        assert [(each.low, each.high) for each in bins] == [(n / BINS, (n + 1) / BINS) for n in range(BINS)]
        assert sum(each.images for each in bins) == 3000
        gaps = [each.images * abs(each.confidence - each.accuracy) for each in bins if each.images]
        assert sum(gaps) / 3000 == pytest.approx(error)


def test_bins_without_pictures_have_no_figures():
    probabilities, right = np.array([[0.95, 0.05], [1.0, 0.0]]), np.array([True, False])
    first, *_, last = reliability(probabilities, right)
    assert (first.images, first.confidence, first.accuracy) == (0, None, None)
    assert (last.images, last.confidence, last.accuracy) == (2, pytest.approx(0.975), 0.5)
    assert calibration_error(probabilities, right) == pytest.approx(0.475)


def test_huge_logits_stay_numbers():
    logits = np.array([[1e4, 0, -1e4], [-3e38, 3e38, 0]], dtype=np.float32)
    assert np.isfinite(log_probabilities(logits)).all()
    assert np.isfinite(fit_temperature(logits, np.array([1, 1])))


def answers(seed, count=200):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, size=count).round(2)  # many are equal
    return confidence, rng.random(count) < confidence, groups(count, 2)


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_smallest_that_keeps_the_accuracy(seed):
    confidence, right, names = answers(seed)
    found = propose(confidence, right, names, wanted=0.9, held_out=True)
    good = []
    for threshold in sorted(set(confidence)):
        given = confidence >= threshold
        independent = len({name for name, kept in zip(names, given, strict=True) if kept})
        if right[given].mean() >= 0.9 and independent >= ENOUGH_GROUPS:
            good.append(threshold)
    if not good:
        assert (found.from_data, found.not_sure_below) == (False, NOT_SURE_BELOW)
        return
    given = confidence >= good[0]
    assert (found.from_data, found.not_sure_below, found.note) == (True, good[0], "")
    assert (found.coverage, found.accuracy) == (given.mean(), right[given].mean())


def test_the_curve_tells_coverage_and_accuracy_of_each_threshold():
    confidence, right, names = answers(1)
    curve = propose(confidence, right, names, wanted=0.9, held_out=True).curve
    assert len(curve) <= POINTS
    assert [point.threshold for point in curve] == sorted(set(confidence))
    for point in curve:
        given = confidence >= point.threshold
        assert (point.coverage, point.accuracy) == (given.mean(), pytest.approx(right[given].mean()))
    fine = np.linspace(0.2, 0.9, 1000)
    points = propose(fine, fine > 0.5, groups(1000), wanted=0.9, held_out=True).curve
    assert len(points) == POINTS
    assert (points[0].threshold, points[-1].threshold) == (0.2, 0.9)


def test_where_the_data_cannot_tell_the_default_is_taken_and_said():
    confidence, right, _ = answers(2)
    few = propose(confidence, np.ones(200, bool), groups(200, 20), wanted=0.9, held_out=True)
    assert (few.from_data, few.not_sure_below) == (False, NOT_SURE_BELOW)
    assert "make up 10 independent group(s)" in few.note
    wrong = propose(confidence, np.zeros(200, bool), groups(200, 2), wanted=0.9, held_out=True)
    assert "No threshold reaches an accuracy of 0.9" in wrong.note
    refit = propose(confidence, right, groups(200, 2), wanted=0.1, held_out=False)
    assert (refit.from_data, "trained on these pictures too" in refit.note) == (False, True)
    unsure = propose(np.full(200, 0.4), right, groups(200, 2), wanted=1.0, held_out=True)
    assert (unsure.coverage, unsure.accuracy) == (0.0, None)
