"""Who is taken for whom, on which films; intervals of every figure."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, log_loss

from reel_shared.contracts import LabelProbability, Source
from reel_shared.contracts.evaluations import EvaluatedPicture
from reel_trainer import evaluation
from reel_trainer.confusion import IDS, confusion, heat_map
from reel_trainer.evaluation import evaluate, gain
from reel_trainer.intervals import middle

CLASSES = ["disc", "cross", "bars", "none"]


def picture(number, label, predicted, **facts):
    return EvaluatedPicture(
        id=f"img_{number:03}",
        key=f"images/{number}",
        sha256="0" * 64,
        label=label,
        source=facts.get("source", Source.MOVIE),
        film=facts.get("film"),
        probe=facts.get("probe", ""),
        group="",
        predicted=predicted,
        right=label == predicted,
        top=[LabelProbability(label=predicted, probability=facts.get("sure", 0.5))],
        true_probability=0.5,
        loss=0.7,
    )


def test_counts_are_those_of_scikit_learn_with_a_class_that_never_occurs():
    rng = np.random.default_rng(4)
    pairs = [
        (CLASSES[a], CLASSES[b])
        for a, b in zip(rng.integers(3, size=90), rng.integers(4, size=90), strict=True)
    ]
    found = confusion([picture(n, *pair) for n, pair in enumerate(pairs)], CLASSES)
    true, said = zip(*pairs, strict=True)
    assert np.array_equal(found.counts, confusion_matrix(true, said, labels=CLASSES))
    assert sum(cell.images for cell in found.cells) == 90
    wrong = [cell.images for cell in found.confused]
    assert wrong == sorted(wrong, reverse=True)
    assert sum(wrong) == sum(a != b for a, b in pairs)


def test_a_cell_opens_the_pictures_it_is_surest_of_and_not_all():
    many = [picture(n, "disc", "cross", sure=0.3 + n / 100) for n in range(IDS + 6)]
    (cell,) = confusion(many, CLASSES).cells
    assert (cell.label, cell.predicted, cell.images) == ("disc", "cross", IDS + 6)
    assert cell.ids == [f"img_{n:03}" for n in range(IDS + 5, 5, -1)]


def test_the_heat_map_keeps_probe_sets_apart_from_films_and_sources():
    pictures = [
        picture(0, "disc", "disc", film="mov_a"),
        picture(1, "disc", "bars", film="mov_a"),
        picture(2, "bars", "bars", source=Source.WEB),
        picture(3, "disc", "bars", source=Source.WEB, probe="cosplay"),
    ]
    assert [(c.kind, c.name, c.label, c.images, c.accuracy) for c in heat_map(pictures)] == [
        ("film", "mov_a", "disc", 2, 0.5),
        ("probe", "cosplay", "disc", 1, 0.0),
        ("source", "movie", "disc", 2, 0.5),
        ("source", "web", "bars", 1, 1.0),
    ]


def test_every_interval_is_that_of_a_slow_bootstrap_over_groups(shapes, monkeypatch):
    monkeypatch.setattr(evaluation, "DRAWS", 60)
    rng = np.random.default_rng(7)
    rows = shapes.images[:144:2]
    logits = rng.normal(size=(len(rows), 4)).astype(np.float32) * 2
    found = evaluate(logits, rows, CLASSES)["all"]
    truth = np.array([CLASSES.index(row.label) for row in rows])
    chances = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    names, numbers = np.unique([row.scene or row.id for row in rows], return_inverse=True)
    scores: dict[str, list[float]] = {"macro_f1": [], "top3_accuracy": [], "log_loss": []}
    for drawn in np.random.default_rng(0).integers(len(names), size=(60, len(names))):
        chosen = np.concatenate([np.flatnonzero(numbers == number) for number in drawn])
        true, said = truth[chosen], logits[chosen].argmax(axis=1)
        scores["macro_f1"].append(
            f1_score(true, said, labels=np.unique(true), average="macro", zero_division=0)
        )
        best = np.argsort(-logits[chosen], axis=1)[:, :3]
        scores["top3_accuracy"].append((best == true[:, None]).any(axis=1).mean())
        scores["log_loss"].append(log_loss(true, chances[chosen], labels=range(4)))
    for name, values in scores.items():
        assert getattr(found, f"{name}_interval") == pytest.approx(middle(np.array(values))), name
    assert found.macro_f1 == pytest.approx(
        f1_score(truth, logits.argmax(axis=1), labels=np.unique(truth), average="macro", zero_division=0)
    )


def test_a_gain_is_judged_on_the_same_pictures():
    before, names = np.arange(60) % 3 == 0, [str(n // 2) for n in range(60)]
    all_better = gain(before, np.ones(60, bool), names)
    assert all_better.difference == pytest.approx(2 / 3)
    assert all_better.interval[0] > 0.5
    nothing = gain(before, before, names)
    assert (nothing.difference, nothing.interval) == (0.0, (0.0, 0.0))
    assert gain(before, before, ["one"] * 60).interval is None
