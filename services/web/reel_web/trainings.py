"""Owns what the pages say of trainings: rows of the list, curves over all stages, what two recipes differ in.

Called by `pages.trainings`; reads rows that the trainer wrote and changes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from reel_shared.db.models import Job, TrainedModel, TrainingMetrics
from reel_shared.jobs import TERMINAL
from reel_shared.web.envelope import timestamp
from reel_web.charts import Band, Point, Series, lines
from reel_web.summaries import summary

LOOKS = ("s0", "s1", "s2", "s3")
SOURCES = (("accuracy", "all", "s0"), ("accuracy_movie", "film frames", "s1"), ("accuracy_web", "web", "s2"))
_ABOUT = ("dataset_version_id", "weights", "seed")
MISSING = "–"


def training_row(job: Job, model: TrainedModel | None) -> dict[str, Any]:
    """A training in one row of a list."""
    overall = (model.metrics.get("all") or {}) if model else {}
    return {
        **summary(job),
        "recipe": recipe_of(job, model)["name"],
        "dataset_version_id": job.request["dataset_version_id"],
        "architecture": model.architecture if model else None,
        "model_id": model.id if model else None,
        "model_number": model.number if model else None,
        "accuracy": overall.get("accuracy"),
        "accuracy_interval": overall.get("accuracy_interval"),
        "resumed_from": job.request.get("resume_from"),
    }


def recipe_of(job: Job, model: TrainedModel | None) -> dict[str, Any]:
    """Return the recipe as it was followed; of a training without a model what its request says, maybe a name only."""
    if model is not None:
        return dict(model.card["recipe"])
    asked = job.request["recipe"]
    return {"name": asked} if isinstance(asked, str) else dict(asked)


def stages_of(rows: Sequence[TrainingMetrics]) -> list[dict[str, Any]]:
    """Return stages in their order with the batches that lie before each: the x axis goes over all of them."""
    stages, begin = [], 0
    for row in rows:
        end = begin + (row.points[-1]["step"] if row.points else 0)
        stages.append(
            {"name": row.stage, "begin": begin, "end": end, "points": row.points, "epochs": row.epochs}
        )
        begin = end
    return stages


def bands(stages: Sequence[Mapping[str, Any]]) -> list[Band]:
    return [Band(stage["name"], stage["begin"], stage["end"]) for stage in stages if stage["points"]]


def loss_chart(stages: Sequence[Mapping[str, Any]]) -> Markup:
    return lines(
        "Loss over batches: training as a line, validation after each epoch",
        [
            Series("training", _points(stages, "loss"), "s0"),
            Series("validation", _epochs(stages, "valid_loss"), "s1", dots=True),
        ],
        bands=bands(stages),
        unit="batches",
    )


def accuracy_chart(stages: Sequence[Mapping[str, Any]]) -> Markup:
    return lines(
        "Accuracy on validation pictures after each epoch, by source",
        [Series(name, _epochs(stages, key), look, dots=True) for key, name, look in SOURCES],
        bands=bands(stages),
        unit="batches",
    )


def told_sources(stages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return name and look of each line that the accuracy's drawing has."""
    return [(name, look) for key, name, look in SOURCES if _epochs(stages, key)]


def rate_chart(stages: Sequence[Mapping[str, Any]]) -> Markup:
    return lines(
        "Learning rate of the head over batches, logarithmic",
        [Series("learning rate", _points(stages, "lr"), "s0")],
        bands=bands(stages),
        unit="batches",
        logarithmic=True,
    )


def comparison(title: str, trainings: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], key: str) -> Markup:
    """Return one figure of several trainings in one drawing, a colour each."""
    epochs = key.startswith(("accuracy", "valid"))
    drawn = [
        Series(name, (_epochs if epochs else _points)(stages, key), look, dots=epochs)
        for (name, stages), look in zip(trainings, LOOKS, strict=False)
    ]
    return lines(title, drawn, unit="batches", logarithmic=key == "lr")


def _points(stages: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    return [
        (stage["begin"] + point["step"], point[key])
        for stage in stages
        for point in stage["points"]
        if point.get(key) is not None
    ]


def _epochs(stages: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    """Each epoch's figure at the batch it ended with; the last point of an epoch tells."""
    placed: list[Point] = []
    for stage in stages:
        ends = {point["epoch"]: stage["begin"] + point["step"] for point in stage["points"]}
        placed += [
            (ends[row["epoch"]], row[key]) for row in stage["epochs"] if key in row and row["epoch"] in ends
        ]
    return placed


def differences(
    recipes: Sequence[Mapping[str, Any]], requests: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what trainings were told differently: a name and, for each of them, the value as text."""
    flat = [
        {**{name: str(request.get(name)) for name in _ABOUT}, **dict(_flat(recipe))}
        for recipe, request in zip(recipes, requests, strict=True)
    ]
    names = dict.fromkeys(name for each in flat for name in each)
    rows = [{"name": name, "values": [each.get(name, MISSING) for each in flat]} for name in names]
    return [row for row in rows if len(set(row["values"])) > 1]


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            pair for key, item in value.items() for pair in _flat(item, f"{name} · {key}" if name else key)
        ]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [
            pair
            for place, item in enumerate(value)
            for pair in _flat(item, f"{name.removesuffix('s')} {place + 1}")
        ]
    return [(name, MISSING if value is None else str(value))]


def last_words(rows: Sequence[TrainingMetrics]) -> dict[str, Any] | None:
    """Return speed, time left and memory as they were told last, and when; None before the first batch."""
    last = next((row for row in reversed(rows) if row.now), None)
    return {"gpu_memory": None, **last.now, "at": timestamp(last.updated_at)} if last and last.now else None


def may_be(job: Job, *, checkpoint: bool, stopping: bool) -> dict[str, bool]:
    """Say which buttons there are."""
    live = job.state not in TERMINAL
    return {
        "stop": live and job.state != "canceling",
        "stopping": live and stopping,
        "resume": job.state in ("failed", "canceled") and checkpoint,
        "replay": job.state in ("failed", "canceled"),
    }
