"""What the report shows of its numbers: rows of tables and charts, out of ``report.json``. Called by ``page``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from reel_shared.contracts import Metrics
from reel_shared.contracts.evaluations import Evaluation, ReliabilityBin
from reel_shared.contracts.reports import Report
from reel_trainer.report.charts import Chart, Line, line_chart

NAMES = {"all": "all validation pictures", "movie": "film frames", "web": "web pictures"}
KINDS = {"web": "web pictures", "probe": "probe set", "variant": "variants"}
"""Of parts whose name has two halves, such as ``probe:costumes``."""


def part_name(name: str) -> str:
    """Return how a part of the pictures is called for people."""
    kind, _, rest = name.partition(":")
    return f"{KINDS.get(kind, kind)}: {rest}" if rest else NAMES.get(name, name)


@dataclass(frozen=True)
class Row:
    """Metrics of one part, beside those with test-time augmentation where there are any."""

    name: str
    kind: str
    plain: Metrics
    augmented: Metrics | None


def metric_rows(evaluation: Evaluation) -> list[Row]:
    """Return the parts, the whole first, then sources, styles, probe sets and variants."""
    order = ["all", "movie", "web", "probe", "variant"]

    def rank(name: str) -> tuple[int, str]:
        kind = name.partition(":")[0]
        return (order.index(kind) if kind in order else len(order), name)

    plain = sorted((name for name in evaluation.metrics if not name.startswith("tta:")), key=rank)
    return [
        Row(
            part_name(name),
            name.partition(":")[0],
            evaluation.metrics[name],
            evaluation.metrics.get(f"tta:{name}"),
        )
        for name in plain
    ]


def training_charts(report: Report) -> list[Chart]:
    """Return loss and accuracy over the epochs, then loss, rate and momentum over the batches; stages as bands."""
    return [*_epoch_charts(report), *_batch_charts(report)]


def _epoch_charts(report: Report) -> list[Chart]:
    epochs = report.epochs
    bands, start = [], 0
    for stage, rows in groupby(epochs, key=lambda row: str(row["stage"])):
        end = start + len(list(rows))
        bands.append((start + 0.5, end + 0.5, stage))
        start = end
    accuracies = sorted(name for name in epochs[0] if name.startswith("accuracy_")) if epochs else []
    names = {name: part_name(name.removeprefix("accuracy_")) for name in accuracies}
    axis = (0.5, len(epochs) + 0.5)
    wanted = [
        ("Loss", {"train_loss": "training", "valid_loss": "validation"}, False),
        ("Accuracy on validation pictures", {"accuracy": "all", **names}, True),
    ]
    charts = [
        line_chart(
            title,
            [Line(shown, _along(epochs, field)) for field, shown in fields.items()],
            x_label="epoch",
            x_range=axis,
            percent=percent,
            whole=True,
            bands=bands,
        )
        for title, fields, percent in wanted
    ]
    return [chart for chart in charts if chart is not None]


def _batch_charts(report: Report) -> list[Chart]:
    """The stages lie behind one another; where a stage ends is its last point's batch."""
    series: dict[str, list[tuple[float, float]]] = {"loss": [], "lr": [], "momentum": []}
    bands, start = [], 0
    for stage, points in report.curve.items():
        if not points:
            continue
        for point in points:
            for name, line in series.items():
                value = getattr(point, name)
                if value is not None:
                    line.append((float(start + point.step), float(value)))
        end = start + points[-1].step
        bands.append((float(start), float(end), stage))
        start = end
    wanted = [
        ("Loss by batch", "loss"),
        ("Learning rate of the head by batch", "lr"),
        ("Momentum by batch", "momentum"),
    ]
    charts = [
        line_chart(
            title, [Line("training", series[name])], x_label="batch", x_range=(0.0, float(start)), bands=bands
        )
        for title, name in wanted
    ]
    return [chart for chart in charts if chart is not None]


def _along(epochs: Sequence[dict[str, float | str]], field: str) -> list[tuple[float, float]]:
    found = []
    for number, row in enumerate(epochs, start=1):
        value = row.get(field)
        if isinstance(value, int | float) and math.isfinite(value):
            found.append((float(number), float(value)))
    return found


def reliability_chart(evaluation: Evaluation) -> Chart | None:
    """Return accuracy over confidence, before and after the temperature; larger dots stand for more pictures."""
    scaling = evaluation.calibration.parts.get("all")
    if scaling is None:
        return None
    lines = [_reliability("as trained", scaling.reliability)]
    if evaluation.calibration.temperature != 1:
        name = f"at temperature {evaluation.calibration.temperature:.2f}"
        lines.append(_reliability(name, scaling.reliability_scaled))
    return line_chart(
        "Reliability",
        lines,
        x_label="confidence",
        x_range=(0, 1),
        y_range=(0, 1),
        percent=True,
        diagonal=True,
    )


def _reliability(name: str, bins: Sequence[ReliabilityBin]) -> Line:
    full = [(each, each.confidence, each.accuracy) for each in bins]
    points = [(sure, right) for _, sure, right in full if sure is not None and right is not None]
    most = max((each.images for each in bins), default=1) or 1
    radii = [2 + 5 * math.sqrt(each.images / most) for each, sure, right in full if sure is not None]
    return Line(name, points, radii[: len(points)])


def coverage_chart(evaluation: Evaluation) -> Chart | None:
    """Return the accuracy of the answers given over the share of pictures that get one."""
    chosen = evaluation.abstention
    points = sorted((point.coverage, point.accuracy) for point in chosen.curve)
    mark = None
    if chosen.accuracy is not None:
        mark = (chosen.coverage, chosen.accuracy, f"not sure below {chosen.not_sure_below:.2f}")
    low = min([right for _, right in points], default=0.0)
    return line_chart(
        "Accuracy of the answers, when the least confident ones are withheld",
        [Line("answers", points, [1.6] * len(points))],
        x_label="share of pictures that get an answer",
        x_range=(0, 1),
        y_range=(max(0.0, math.floor(low * 10 - 0.5) / 10), 1.0),
        percent=True,
        mark=mark,
    )


@dataclass(frozen=True)
class HeatRow:
    label: str
    cells: list[tuple[float, int] | None]
    """(accuracy, pictures) by column, None without pictures."""


@dataclass(frozen=True)
class HeatTable:
    columns: list[str]
    rows: list[HeatRow]


def heat_tables(evaluation: Evaluation) -> Iterator[tuple[str, HeatTable]]:
    """Yield class by source and probe set, and film by class, each with what it is called."""
    parts = [cell for cell in evaluation.heat_map if cell.kind != "film"]
    columns = list(
        dict.fromkeys((cell.kind, cell.name) for cell in sorted(parts, key=lambda c: c.kind != "source"))
    )
    found = {(cell.kind, cell.name, cell.label): (cell.accuracy, cell.images) for cell in evaluation.heat_map}
    if columns:
        names = [part_name(name if kind == "source" else f"{kind}:{name}") for kind, name in columns]
        rows = [
            HeatRow(label, [found.get((*column, label)) for column in columns])
            for label in evaluation.classes
        ]
        yield "class", HeatTable(names, rows)
    films = list(
        dict.fromkeys((cell.label, cell.name) for cell in evaluation.heat_map if cell.kind == "film")
    )
    if films:
        by_film = [
            HeatRow(f"{film} ({label})", [found["film", film, label]]) for label, film in sorted(films)
        ]
        yield "film", HeatTable(["its frames"], by_film)
