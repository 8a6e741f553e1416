"""Curves: every batch counts once, however long the stage, and a few hundred points remain."""

from __future__ import annotations

import numpy as np
import pytest

from reel_trainer.curves import POINTS, Curve


def fill(curve, losses, first=1):
    thinned = 0
    for number, loss in enumerate(losses, start=first):
        thinned += curve.add(float(loss), epoch=1 + number // 1000, lr=number / 1e4, momentum=0.9)
    return thinned


@pytest.mark.parametrize("batches", [1, POINTS - 1, POINTS, 3 * POINTS + 7, 20 * POINTS])
def test_points_are_means_of_as_many_batches_each(batches) -> None:
    losses = np.random.default_rng(1).random(batches)
    curve = Curve()
    fill(curve, losses)
    assert curve.steps == batches
    assert min(batches, POINTS // 2) <= len(curve.points) < POINTS
    whole = len(curve.points) * curve.every
    assert batches - whole == curve.batches < curve.every
    wanted = losses[:whole].reshape(-1, curve.every).mean(axis=1)
    assert [point.loss for point in curve.points] == pytest.approx(wanted)
    assert [point.step for point in curve.points] == list(range(curve.every, whole + 1, curve.every))
    assert [point.lr for point in curve.points] == [point.step / 1e4 for point in curve.points]


def test_one_that_was_stored_goes_on_as_if_nothing_had_been() -> None:
    losses = np.random.default_rng(2).random(4 * POINTS)
    whole, part = Curve(), Curve()
    assert fill(whole, losses) == 3
    fill(part, losses[:1001])
    again = Curve.model_validate_json(part.model_dump_json())
    fill(again, losses[1001:], first=1002)
    assert again == whole


def test_what_is_no_number_is_said_to_be_none() -> None:
    curve = Curve()
    fill(curve, [1.0, float("nan"), float("inf"), 2.0])
    assert [point.loss for point in curve.points] == [1.0, None, None, 2.0]
    fill(curve, np.ones(POINTS - 4), first=5)
    assert [point.loss for point in curve.points[:3]] == [None, None, 1.0]
