"""Puts together how a model was judged, for ``evaluation.json`` and its card; called by ``export``."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from reel_shared.contracts import Attention, LabelProbability, Metrics
from reel_shared.contracts.base import Finite
from reel_shared.contracts.evaluations import (
    AugmentedViews,
    Calibration,
    Confusion,
    EvaluatedPicture,
    Evaluation,
    Gain,
    Scaling,
)
from reel_shared.manifest import ManifestImage
from reel_shared.views import BETA
from reel_trainer.abstention import propose
from reel_trainer.answers import AllAnswers, Answers
from reel_trainer.calibration import Doubles, Fitted, fit, log_probabilities, scaling
from reel_trainer.confusion import confusion, heat_map
from reel_trainer.evaluation import TOP, Parts, gain, labels, probe_slices, slices
from reel_trainer.intervals import group_of
from reel_trainer.recipe import Recipe


class About(Finite):
    """Which model it is, as the evaluation says it."""

    model_id: str
    dataset_version_id: str
    manifest_sha256: str
    certified: bool
    notes: list[str]
    created_at: datetime
    attention: Attention | None = None


def assess(
    answers: AllAnswers,
    metrics: dict[str, Metrics],
    classes: list[str],
    recipe: Recipe,
    about: About,
    *,
    held_out: bool = True,
) -> Evaluation:
    """Return everything that the answers tell, with one row a picture.

    ``held_out`` is false when the weights that training started from knew validation pictures.
    """
    valid, probes = answers.valid, answers.probes
    groups = [group_of(row) for row in valid.rows]
    truth = labels(valid.rows, classes)
    held_out = held_out and not recipe.train_on_validation
    fitted = fit(valid.logits, truth, groups, held_out=held_out)
    crossed = log_probabilities(valid.logits, fitted.each)
    pictures = _pictures(valid, classes, fitted) + _pictures(probes, classes, fitted)
    return Evaluation(
        **about.model_dump(),
        recipe=recipe.name,
        architecture=recipe.architecture,
        classes=classes,
        size=recipe.size,
        held_out=held_out,
        metrics=metrics,
        tta=_augmented(answers, classes, recipe.tta),
        calibration=Calibration(
            temperature=fitted.temperature,
            folds=fitted.folds,
            note=fitted.note,
            parts=_scalings(valid, classes, crossed, slices)
            | _scalings(probes, classes, log_probabilities(probes.logits, fitted.temperature), probe_slices),
        ),
        abstention=propose(
            np.exp(crossed.max(axis=1)),
            crossed.argmax(axis=1) == truth,
            groups,
            wanted=recipe.wanted_accuracy,
            held_out=held_out,
        ),
        confusion=_confusions(pictures, classes),
        heat_map=heat_map(pictures),
        pictures=pictures,
    )


def _pictures(answers: Answers, classes: list[str], fitted: Fitted) -> list[EvaluatedPicture]:
    sure = log_probabilities(answers.logits, fitted.temperature)
    truth = labels(answers.rows, classes)
    order = np.argsort(-answers.logits, axis=1, kind="stable")[:, :TOP]
    return [
        _picture(row, classes, sure[index], int(truth[index]), order[index].tolist())
        for index, row in enumerate(answers.rows)
    ]


def _picture(
    row: ManifestImage, classes: list[str], sure: Doubles, truth: int, best: list[int]
) -> EvaluatedPicture:
    return EvaluatedPicture(
        id=row.id,
        key=row.key,
        sha256=row.sha256,
        label=row.label,
        source=row.source,
        style=row.style,
        probe=row.probe,
        film=row.movie_id,
        group=group_of(row),
        predicted=classes[best[0]],
        right=best[0] == truth,
        top=[
            LabelProbability(label=classes[place], probability=float(np.exp(sure[place]))) for place in best
        ],
        true_probability=float(np.exp(sure[truth])),
        loss=float(-sure[truth]),
    )


def _scalings(answers: Answers, classes: list[str], after: Doubles, parts: Parts) -> dict[str, Scaling]:
    before, truth = log_probabilities(answers.logits), labels(answers.rows, classes)
    return {
        name: scaling(before[chosen], after[chosen], truth[chosen])
        for name, chosen in parts(answers.rows).items()
    }


def _augmented(answers: AllAnswers, classes: list[str], passes: int) -> AugmentedViews | None:
    found: dict[str, Gain] = {}
    sets: list[tuple[Answers, Parts]] = [(answers.valid, slices), (answers.probes, probe_slices)]
    for each, parts in sets:
        if each.augmented is None:
            continue
        truth = labels(each.rows, classes)
        before, after = each.logits.argmax(axis=1) == truth, each.augmented.argmax(axis=1) == truth
        for name, chosen in parts(each.rows).items():
            groups = [group_of(each.rows[index]) for index in chosen.tolist()]
            found[name] = gain(before[chosen], after[chosen], groups)
    return AugmentedViews(passes=passes, beta=BETA, gain=found) if found else None


def _confusions(pictures: list[EvaluatedPicture], classes: list[str]) -> dict[str, Confusion]:
    members: dict[str, list[EvaluatedPicture]] = {}
    for picture in pictures:
        names = [f"probe:{picture.probe}"] if picture.probe else ["all", picture.source.value]
        for name in names:
            members.setdefault(name, []).append(picture)
    return {name: confusion(members[name], classes) for name in sorted(members)}
