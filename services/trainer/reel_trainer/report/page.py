"""Draws a report: ``report.json`` and the decoded pictures in, one HTML file out. Called by ``run``.

The file asks for nothing from anywhere: styles are in it, pictures are data URIs, there are no scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import nn

from reel_shared.contracts.reports import Report
from reel_shared.model_card import REPORT_HTML, REPORT_JSON
from reel_trainer.data import Normalize
from reel_trainer.report import figures, seen
from reel_trainer.report.gallery import Decoded, Gallery


def write_report(
    report: Report, folder: Path, *, model: nn.Sequential, normalize: Normalize, judged: Sequence[Decoded]
) -> None:
    """Write ``report.json`` and ``report.html``; ``judged`` holds the evaluation's pictures, one cache a part."""
    (folder / REPORT_JSON).write_text(report.model_dump_json())
    (folder / REPORT_HTML).write_text(
        draw(report, model=model, normalize=normalize, judged=judged), encoding="utf-8"
    )


def draw(report: Report, *, model: nn.Sequential, normalize: Normalize, judged: Sequence[Decoded]) -> str:
    """Return the report as HTML; below 5 MB by the gallery's budget."""
    evaluation, gallery = report.evaluation, Gallery(judged)
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            evaluation=evaluation,
            # what matters most is drawn first: the gallery's budget may end
            looked=seen.looked(evaluation, gallery),
            always=seen.always(evaluation, gallery),
            worst=list(seen.worst(evaluation, gallery, model, normalize)),
            matrices=list(seen.matrices(evaluation, gallery)),
            metrics=figures.metric_rows(evaluation),
            heat_tables=list(figures.heat_tables(evaluation)),
            training=figures.training_charts(report),
            reliability=figures.reliability_chart(evaluation),
            coverage=figures.coverage_chart(evaluation),
            recipe=yaml.safe_dump(report.recipe, sort_keys=False, allow_unicode=True),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reel_trainer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["duration"] = _duration
    environment.filters["part_name"] = figures.part_name
    return environment


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
