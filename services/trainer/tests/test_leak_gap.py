"""How uncertain a leak gap is, and how many neighbours a split has on both sides."""

from __future__ import annotations

import numpy as np

from reel_trainer.intervals import Judged, accuracies, accuracy_interval, judged
from reel_trainer.leak_gap import gap_interval


def of(groups, rate, seed, size=10):
    rng = np.random.default_rng(seed)
    names = [f"scene-{i // size}" for i in range(groups * size)]
    return Judged(names, rng.random(len(names)) < rate)


def test_a_clear_gap_lies_above_nought():
    low, high = gap_interval(of(40, 0.99, 1), of(40, 0.80, 2), seed=0)
    assert 0 < low < 0.19 < high


def test_no_gap_has_nought_inside():
    low, high = gap_interval(of(40, 0.9, 1), of(40, 0.9, 2), seed=0)
    assert low < 0 < high


def test_few_groups_say_less_than_many_with_as_many_pictures():
    """Whole scenes right or wrong: forty pictures of four scenes are four facts."""
    names = [f"scene-{i // 10}" for i in range(40)]
    few = Judged(names, np.repeat([True, True, True, False], 10))
    many = Judged([str(i) for i in range(40)], few.right)
    perfect = Judged(names, np.ones(40, dtype=bool))
    wide, narrow = (gap_interval(perfect, each, seed=0) for each in (few, many))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_an_accuracy_is_as_sure_as_it_has_groups():
    few, many = of(4, 0.8, 3), of(400, 0.8, 4)
    wide, narrow = (accuracy_interval(each) for each in (few, many))
    assert narrow[0] < many.right.mean() < narrow[1]
    assert narrow[1] - narrow[0] < 0.05 < wide[1] - wide[0]
    assert accuracy_interval(many) == narrow, "the same pictures, the same interval"
    assert accuracy_interval(of(1, 0.5, 5)) is None


def test_large_sets_are_drawn_in_parts(monkeypatch):
    whole = accuracies(of(50, 0.7, 6), np.random.default_rng(1), 300)
    monkeypatch.setattr("reel_trainer.intervals._AT_ONCE", 1000)
    assert np.array_equal(accuracies(of(50, 0.7, 6), np.random.default_rng(1), 300), whole)


def test_pictures_hang_together_by_group_then_scene(shapes):
    image = shapes.images[0]
    alone = image.model_copy(update={"scene": None})
    joined = image.model_copy(update={"group": "img_first"})
    assert judged([image, alone, joined], [True] * 3).groups == [image.scene, image.id, "img_first"]
