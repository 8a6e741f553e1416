"""How uncertain a leak gap is, and how many neighbours a split has on both sides."""

from __future__ import annotations

import numpy as np

from reel_trainer.leak_gap import Judged, gap_interval


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
