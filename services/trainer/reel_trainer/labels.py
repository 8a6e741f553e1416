"""Finds pictures that are probably filed under a wrong label; called by ``label_run``.

Out-of-fold: every picture is judged by a classifier that saw neither it nor anything that hangs together with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from reel_shared.errors import Unprocessable

FOLDS = 5
CONFIDENT = 0.5
"""How probable another label must be before a person is asked."""
Floats = npt.NDArray[np.float32]


class Doubt(NamedTuple):
    """One picture whose label the others contradict."""

    row: int
    suggested: str
    confidence: float
    """Out-of-fold probability of the suggested label."""
    given_probability: float
    """Out-of-fold probability of the label that it has."""
    quality: float
    """cleanlab's label quality, 0 to 1; the list goes from the lowest up."""


def out_of_fold(
    features: Floats, labels: npt.NDArray[np.int64], groups: Sequence[str], *, seed: int, folds: int = FOLDS
) -> npt.NDArray[np.float64]:
    """Return probabilities (pictures, classes) of a logistic regression that never saw the picture's group.

    ``features`` are (pictures, dimensions). Raises Unprocessable when a class has too few groups to be held out.
    """
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    fewest = min(len(np.unique(numbers[labels == label])) for label in np.unique(labels))
    if fewest < 2:
        raise Unprocessable(
            "A class hangs together as one group; add scenes or pictures before checking labels."
        )
    cut = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=seed)
    found = np.zeros((len(labels), int(labels.max()) + 1))
    for train, held in cut.split(features, labels, numbers):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, max_iter=500, class_weight="balanced")
        )
        model.fit(features[train], labels[train])
        columns = model[-1].classes_
        found[np.ix_(held, columns)] = model.predict_proba(features[held])
    return found


def doubtful(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], classes: Sequence[str]
) -> list[Doubt]:
    """Return the pictures for which another label is CONFIDENT, those of the lowest label quality first."""
    worst = find_label_issues(
        labels,
        probabilities,
        filter_by="predicted_neq_given",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    quality = get_label_quality_scores(labels, probabilities)
    doubts = []
    for index in map(int, worst):
        best = int(probabilities[index].argmax())
        if probabilities[index, best] < CONFIDENT:
            continue
        doubts.append(
            Doubt(
                index,
                classes[best],
                float(probabilities[index, best]),
                float(probabilities[index, labels[index]]),
                float(quality[index]),
            )
        )
    return doubts
