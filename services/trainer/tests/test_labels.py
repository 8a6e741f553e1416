"""Finding wrong labels out of fold."""

from __future__ import annotations

import numpy as np
import pytest

from reel_shared.errors import Unprocessable
from reel_trainer.labels import doubtful, out_of_fold

CLASSES = ["kiki", "mulan", "tarzan"]


def clusters(per_class=60, spread=0.6, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_class)
    features = rng.normal(0, spread, (len(labels), 12)) + 4 * np.eye(3, 12)[labels]
    return features.astype(np.float32), labels, [f"scene-{i // 4}" for i in range(len(labels))]


def test_planted_wrong_labels_are_found_and_their_right_label_suggested():
    features, labels, groups = clusters()
    given = labels.copy()
    wrong = [5, 70, 100, 130, 177]
    given[wrong] = (given[wrong] + 1) % 3
    found = doubtful(out_of_fold(features, given, groups, seed=1), given, CLASSES)
    assert {doubt.row for doubt in found} == set(wrong)
    assert all(doubt.suggested == CLASSES[labels[doubt.row]] for doubt in found)
    assert [doubt.quality for doubt in found] == sorted(doubt.quality for doubt in found)


def test_clean_labels_raise_no_doubt():
    features, labels, groups = clusters()
    assert doubtful(out_of_fold(features, labels, groups, seed=1), labels, CLASSES) == []


def test_a_scene_never_judges_itself():
    """All of a scene is filed wrongly: a fold that saw its neighbours would find the label right."""
    features, labels, groups = clusters(spread=0.1)
    given = labels.copy()
    given[:4] = 2
    found = doubtful(out_of_fold(features, given, groups, seed=1), given, CLASSES)
    assert {doubt.row for doubt in found} == {0, 1, 2, 3}


def test_a_class_that_is_one_group_cannot_be_held_out():
    features, labels, groups = clusters(per_class=8)
    groups[:8] = ["one"] * 8
    with pytest.raises(Unprocessable, match="one group"):
        out_of_fold(features, labels, groups, seed=1)
