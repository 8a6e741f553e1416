"""Temperature scaling, and how far a model's confidence is from its accuracy; called by ``assessment``.

One number divides all logits (Guo et al. 2017). It changes no answer, only how sure the model says it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from reel_shared.contracts.evaluations import ReliabilityBin, Scaling

Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

BINS = 10
"""Of confidence, each as wide as the next."""
FOLDS = 5
COLDEST, HOTTEST = 0.05, 20.0
_HALVINGS = 60


class Fitted(NamedTuple):
    """``each`` is the temperature for each picture, fitted without its group."""

    temperature: float
    each: Doubles
    folds: int
    note: str


def log_probabilities(logits: npt.NDArray[np.floating], temperature: Doubles | float = 1.0) -> Doubles:
    """Return log-softmax of logits / temperature, (pictures, classes); a temperature for all or for each picture."""
    scaled = logits.astype(np.float64) / np.reshape(temperature, (-1, 1))
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    result: Doubles = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def fit(logits: npt.NDArray[np.floating], truth: Numbers, groups: Sequence[str], *, held_out: bool) -> Fitted:
    """Return the temperature of the least log loss; 1 with a note where none can be fitted or none helps.

    ``logits`` are (pictures, classes) of validation pictures, ``groups`` what each hangs together with.
    """
    plain = np.ones(len(truth))
    if not held_out:
        return Fitted(
            1.0, plain, 0, "The model was trained on these pictures too: it is surer of them than of others."
        )
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    folds = min(FOLDS, len(np.unique(numbers)))
    if folds < 2:
        return Fitted(
            1.0, plain, 0, "All validation pictures hang together: none is left to check a temperature on."
        )
    each = plain.copy()
    for known, held in GroupKFold(folds).split(logits, truth, numbers):
        each[held] = fit_temperature(logits[known], truth[known])
    chosen = np.arange(len(truth)), truth
    if log_probabilities(logits, each)[chosen].sum() <= log_probabilities(logits)[chosen].sum():
        note = "No temperature helps on pictures that it was not fitted on: the logits are left as they are."
        return Fitted(1.0, plain, folds, note)
    return Fitted(fit_temperature(logits, truth), each, folds, "")


def fit_temperature(logits: npt.NDArray[np.floating], truth: Numbers) -> float:
    """Return the temperature of the least log loss, between COLDEST and HOTTEST.

    The loss is convex in the inverse temperature, so that halving an interval by the sign of its slope finds the
    least. As in Platt's method (1999) a little of each label is given to the other classes, one picture's worth in
    all: of a few pictures that are all right one would otherwise learn to be sure without limit.
    """
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    given = 1 / (len(truth) + 1)
    target = (1 - given) * values[np.arange(len(truth)), truth] + given * values.mean(axis=1)
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(_HALVINGS):
        inverse = (low + high) / 2
        weights = np.exp(values * inverse)
        expected = (weights * values).sum(axis=1) / weights.sum(axis=1)
        if (expected - target).sum() < 0:
            low = inverse
        else:
            high = inverse
    return float(2 / (low + high))


def scaling(before: Doubles, after: Doubles, truth: Numbers) -> Scaling:
    """Return the figures of log-probabilities (pictures, classes) before and after scaling."""
    chosen = np.arange(len(truth)), truth
    right = before.argmax(axis=1) == truth
    return Scaling(
        images=len(truth),
        log_loss=float(-before[chosen].mean()),
        log_loss_scaled=float(-after[chosen].mean()),
        calibration_error=calibration_error(np.exp(before), right),
        calibration_error_scaled=calibration_error(np.exp(after), right),
        reliability=reliability(np.exp(before), right),
        reliability_scaled=reliability(np.exp(after), right),
    )


def reliability(probabilities: Doubles, right: npt.NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Return the reliability diagram: pictures in bins of like confidence; probabilities are (pictures, classes)."""
    counts, confidence, accuracy = _binned(probabilities, right)
    return [
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            images=int(count),
            confidence=float(confidence[number] / count) if count else None,
            accuracy=float(accuracy[number] / count) if count else None,
        )
        for number, count in enumerate(counts)
    ]


def calibration_error(probabilities: Doubles, right: npt.NDArray[np.bool_]) -> float:
    """Return the mean distance of confidence from accuracy, pictures in bins of like confidence (Naeini 2015)."""
    _, confidence, accuracy = _binned(probabilities, right)
    return float(np.abs(confidence - accuracy).sum() / len(right))


def _binned(probabilities: Doubles, right: npt.NDArray[np.bool_]) -> tuple[Numbers, Doubles, Doubles]:
    """Return for each bin how many pictures it has, the sum of their confidences, and how many are right."""
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    counts: Numbers = np.bincount(bins, minlength=BINS).astype(np.int64)
    confident: Doubles = np.bincount(bins, weights=confidence, minlength=BINS).astype(np.float64)
    correct: Doubles = np.bincount(bins, weights=right, minlength=BINS).astype(np.float64)
    return counts, confident, correct
