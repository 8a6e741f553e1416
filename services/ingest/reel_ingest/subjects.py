"""Which frames show background only: learnt from a person's marks, judged on marks held out. Called by rank_subjects.

A logistic regression on ``subject_features``, standardised within each film, so that what is learnt in one film
says something about another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from reel_ingest.subject_features import Features

STRENGTH = 0.1
"""Inverse of the regression's penalty; anything from 0.1 to 1 does the same."""
FOLDS = 5
MIN_KEEP, MIN_BACKGROUND = 30, 15
"""Marks below which no precision is promised; measured: with twenty of each 0.95 became 0.93, with ten 0.86."""
MIN_FOUND = 5
"""Held-out backgrounds that must lie above a threshold for it to count as tested."""
CONFIDENCE = 0.9
_RARE = 0.003
_SMALL_FILM = 20
_THRESHOLDS = 400

Floats = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How likely each picture shows background only, and from where on that is worth believing."""

    probabilities: Scores
    """(n,) of every picture, marked ones too."""
    threshold: float | None
    """Probability from which a picture is proposed; None where the marks carry no proposal at all."""
    precision: float | None
    """Share of backgrounds among the held-out marks above the threshold."""
    precision_lower: float | None
    """Its one-sided lower bound at ``CONFIDENCE`` (Clopper and Pearson)."""
    precision_expected: float | None
    """What to expect among all pictures, where backgrounds may be rarer than among the marks."""
    recall: float | None
    """Share of the held-out background marks above the threshold."""
    enough: bool
    """Whether the marks suffice to expect the wanted precision."""
    message: str


def rank_subjects(
    features: Features,
    *,
    films: Sequence[str],
    scenes: Sequence[str],
    background: Sequence[bool | None],
    precision: float,
) -> Ranking:
    """Rank n pictures by how likely they show background only.

    Args:
        films: of every picture; scores are comparable between films.
        scenes: of every picture, unique over all films: marks of one scene are never on both sides of a test.
        background: what is marked: True, False, or None where nobody has said anything.
        precision: share of true backgrounds wanted among what is proposed.

    Raises:
        ValueError: not one mark of either kind.
    """
    marked = np.array([index for index, mark in enumerate(background) if mark is not None], dtype=int)
    truth = np.array([background[index] is True for index in marked], dtype=bool)
    if truth.all() or not truth.any():
        raise ValueError("marks of both kinds are needed")
    table = _standardised(features, np.asarray(films))
    scores = _fit(table[marked], truth).decision_function(table)
    held_out = _out_of_fold(table[marked], truth, np.asarray(scenes)[marked])
    # Of its own marks the model is too sure; what it says of the others is what counts.
    others = np.delete(scores, marked)
    return _judged(scores, others, held_out, truth, wanted=precision)


def _fit(table: Floats, truth: npt.NDArray[np.bool_]) -> LogisticRegression:
    return LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=500).fit(table, truth)


def _standardised(features: Features, films: npt.NDArray[np.str_]) -> Floats:
    """Bring features to mean 0 and spread 1 within each film; a film of a few frames, within all of them."""
    used = (features.colours > 0).mean(axis=0) > _RARE
    table = np.concatenate([features.shapes, features.colours[:, used]], axis=1, dtype=np.float32)
    mean, spread = table.mean(axis=0), table.std(axis=0) + 1e-4
    for film in np.unique(films):
        own = films == film
        part = table[own]
        if len(part) < _SMALL_FILM:
            table[own] = (part - mean) / spread
        else:
            table[own] = (part - part.mean(axis=0)) / (part.std(axis=0) + 0.05 * spread)
    return table


def _out_of_fold(table: Floats, truth: npt.NDArray[np.bool_], scenes: npt.NDArray[np.str_]) -> Scores | None:
    """Return the score of each mark from a model that saw nothing of its scene; None with too few scenes."""
    folds = min(FOLDS, len(set(scenes[truth])), len(set(scenes[~truth])))
    if folds < 2:
        return None
    found = np.full(len(truth), np.nan)
    for learnt, tested in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(
        table, truth, scenes
    ):
        if truth[learnt].any() and not truth[learnt].all():
            found[tested] = _fit(table[learnt], truth[learnt]).decision_function(table[tested])
    return found


def _judged(
    scores: Scores,
    others: Scores,
    held_out: Scores | None,
    truth: npt.NDArray[np.bool_],
    *,
    wanted: float,
) -> Ranking:
    probabilities = 1 / (1 + np.exp(-scores))
    tested = ~np.isnan(held_out) if held_out is not None else np.zeros(len(truth), dtype=bool)
    if held_out is None or not (truth & tested).any() or (~truth & tested).sum() < 3:
        message = "Too few marks to test anything: mark frames of both kinds in at least three scenes each."
        return Ranking(probabilities, None, None, None, None, None, enough=False, message=message)
    everything = np.concatenate([others, held_out[tested]])
    test = _Test(held_out[truth & tested], held_out[~truth & tested], everything)
    many = truth.sum() >= MIN_BACKGROUND and (~truth).sum() >= MIN_KEEP
    best = test.lowest(wanted, expected=wanted, least=MIN_FOUND) if many else None
    enough = best is not None
    # Too little to promise: what the marks themselves bear out is still worth a look.
    best = best if enough else test.lowest(wanted, expected=0.0, least=1)
    if best is None:
        message = f"The marks do not bear out any proposal at a precision of {wanted:.0%}; mark more frames."
        return Ranking(probabilities, None, None, None, None, None, enough=False, message=message)
    right, wrong = test.counts(best)
    return Ranking(
        probabilities=probabilities,
        threshold=float(1 / (1 + np.exp(-best))),
        precision=right / (right + wrong),
        precision_lower=float(stats.beta.ppf(1 - CONFIDENCE, right, wrong + 1)),
        precision_expected=test.expected(best),
        recall=right / len(test.backgrounds),
        enough=enough,
        message=_sentence(test, best, truth, wanted=wanted, enough=enough),
    )


@dataclass(frozen=True, slots=True)
class _Test:
    """Scores of the held-out marks, and of all pictures by models that had not learnt from them."""

    backgrounds: Scores
    keeps: Scores
    everything: Scores

    def counts(self, threshold: float) -> tuple[int, int]:
        return int((self.backgrounds >= threshold).sum()), int((self.keeps >= threshold).sum())

    def expected(self, threshold: float) -> float:
        """Return the precision to expect among all pictures.

        The marks' mix says nothing of how many backgrounds there are. So the share of false alarms among keeps is
        taken from the distribution of their scores (a new one of few: Student's t), but never smaller than their
        number can tell (Clopper and Pearson's median), and set against how many pictures the threshold proposes.
        """
        proposed = float((self.everything >= threshold).mean())
        if proposed == 0:
            return 0.0
        count = len(self.keeps)
        width = max(float(self.keeps.std(ddof=1)), 1e-6) * np.sqrt(1 + 1 / count)
        wrong = self.counts(threshold)[1]
        drawn = float(stats.t.sf((threshold - self.keeps.mean()) / width, count - 1))
        alarms = max(drawn, float(stats.beta.ppf(0.5, wrong + 1, max(count - wrong, 1e-9))))
        return max(0.0, 1 - alarms * (1 - max(0.0, proposed - alarms)) / proposed)

    def lowest(self, wanted: float, *, expected: float, least: int) -> float | None:
        """Return the lowest threshold at which precision suffices, held out and expected, and ``least`` are found."""
        above = self.everything[self.everything >= self.keeps.mean()]
        tried = np.unique(np.concatenate([self.backgrounds, above]))
        if len(tried) > _THRESHOLDS:
            tried = np.quantile(tried, np.linspace(0, 1, _THRESHOLDS))
        for threshold in tried:
            right, wrong = self.counts(threshold)
            if right >= least and right / (right + wrong) >= wanted and self.expected(threshold) >= expected:
                return float(threshold)
        return None


def _sentence(
    test: _Test, threshold: float, truth: npt.NDArray[np.bool_], *, wanted: float, enough: bool
) -> str:
    right, wrong = test.counts(threshold)
    said = f"Of {right + wrong} held-out marks above the threshold {right} were backgrounds"
    if enough:
        return f"{said}; among all frames about {test.expected(threshold):.0%} of the proposals should be."
    keep, empty = max(0, MIN_KEEP - int((~truth).sum())), max(0, MIN_BACKGROUND - int(truth.sum()))
    advice = f"mark {keep} more to keep and {empty} more backgrounds" if keep or empty else "mark more frames"
    return f"{said}, but these are too few marks to expect {wanted:.0%} everywhere: look at the list, and {advice}."
