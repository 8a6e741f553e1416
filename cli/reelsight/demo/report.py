"""The demo's report: one screen in the terminal, and an HTML file with the pictures embedded."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.console import Console
from rich.table import Table

from reel_shared.contracts import MeasureLeakGapResult
from reelsight.commands.models import gate_table
from reelsight.demo.checks import Check
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts
from reelsight.demo.pictures import Shown
from reelsight.studio.gallery import COSPLAY

JUDGED = (
    ("unseen scenes", "movie"),
    ("unseen drawings", "web"),
    ("costumes (probe)", f"probe:{COSPLAY}"),
)


def show(console: Console, facts: Facts, checks: list[Check], html: Path) -> None:
    """Print the report on one screen."""
    console.rule("[bold]Reelsight demo")
    console.print(_classes(facts))
    console.print(_models(facts))
    if facts.promotion is not None:
        console.print(gate_table(facts.promotion.report))
    for line in summary(facts):
        console.print(f"  {line}", highlight=False)
    console.print(_checks(checks))
    console.print(f"  report with pictures: {html}\n", highlight=False, soft_wrap=True)


def summary(facts: Facts) -> list[str]:
    """Return what the tables do not say, a line each."""
    lines = [
        f"web pictures: {_counts(facts.cleaning.states)}; film frames: {_counts(facts.frame_states)}",
        f"refused: {_counts(facts.refusals())}",
    ]
    for name, version in facts.versions.items():
        proof = version.certificate
        lines.append(
            f"split certificate ({name}): {'certified' if proof.certified else 'NOT CERTIFIED'}; "
            f"{proof.groups} groups, nearest pair across {proof.nearest_distance_across} bits"
        )
    if facts.change is not None:
        lines.append(_change(facts))
    if facts.round_trip is not None:
        lines.append(
            f"export and import: {facts.round_trip.same} of {facts.round_trip.pictures} pictures came back the same "
            f"({facts.round_trip.archive_bytes / 2**20:.1f} MiB)"
        )
    if facts.subjects is not None:
        lines.append(f"frames that show nobody: {facts.subjects.message}")
    if facts.labels is not None:
        lines.append(f"labels: {facts.labels.doubtful} of {facts.labels.images} pictures are doubtful")
    if facts.refusal is not None:
        why = " ".join(gate.says for gate in facts.refusal.failed)
        lines.append(f"the film-only model, asked to serve again: {why or 'it served'}")
    if facts.leak_gap is not None:
        lines.append(_gap(facts.leak_gap))
    for name, attention in facts.attention.items():
        lines.append(
            f"the training on {name} says: {' '.join(attention.alarms) or 'nothing about attention'}"
        )
    if facts.sample is not None:
        for name, answer in facts.sample.answers.items():
            guesses = ", ".join(f"{guess.label} {guess.probability:.0%}" for guess in answer[:2])
            lines.append(f"a drawing of {facts.sample.truth}, asked of the model of {name}: {guesses}")
    lines += [f"report of the training on {name}: {path}" for name, path in facts.reports.items()]
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in facts.seconds.items())
    lines.append(f"time: {spent}; {sum(facts.seconds.values()):.0f} s in all")
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _change(facts: Facts) -> str:
    assert facts.change is not None
    counts, made = facts.change.diff.counts, facts.decisions
    pinned = f"scene {made.pinned.scene} of {made.pinned.label} pinned" if made.pinned else "no scene pinned"
    return (
        f"second version: {counts['added']} added ({len(made.kept)} conflicts decided), {counts['removed']} removed "
        f"(taken down), {counts['moved']} moved ({pinned}), {counts['same']} as before"
    )


def _gap(found: MeasureLeakGapResult) -> str:
    low, high = (100 * bound for bound in found.gap_interval)
    return (
        f"leak gap: accuracy {found.random.accuracy:.3f} on a random split, {found.groups.accuracy:.3f} on whole "
        f"scenes; a random split pretends {100 * found.gap:+.1f} points (95 %: {low:+.1f} to {high:+.1f}), with "
        f"{found.neighbours:.0%} of its validation frames beside training frames of the same scene"
    )


def _classes(facts: Facts) -> Table:
    table = Table("class", "scenes", "frames", "web pictures", "trained on", box=None, pad_edge=False)
    for label in facts.titles:
        film = facts.films[label]
        before, after = facts.web_counts(label)
        table.add_row(label, *map(str, (film.scenes, film.counts.kept, before, after)))
    return table


def _models(facts: Facts) -> Table:
    stages = facts.models[EVERYTHING].stages
    headings = [f"{stage.name} ({stage.size} px)" for stage in stages]
    judged = [heading for heading, _ in JUDGED]
    table = Table("trained on", *headings, *judged, box=None, pad_edge=False)
    for name in (FILMS_ONLY, EVERYTHING):
        accuracies = [f"{stage.accuracy:.3f}" for stage in facts.models[name].stages]
        table.add_row(name, *accuracies, *(f"{facts.accuracy(name, part):.3f}" for _, part in JUDGED))
    return table


def _checks(checks: list[Check]) -> Table:
    table = Table("", "check", "seen", "wanted", box=None, pad_edge=False)
    for check in checks:
        mark = "[green]✓[/]" if check.passed else "[bold red]✗[/]"
        table.add_row(mark, check.name, check.figure, check.wanted)
    return table


def write_html(facts: Facts, checks: list[Check], path: Path, *, sheets: dict[str, list[Shown]]) -> None:
    """Write the report as one HTML file.

    Args:
        sheets: a few pictures a class, shown as a strip.
    """
    environment = Environment(
        loader=PackageLoader("reelsight.demo"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["data_url"] = _data_url
    page = environment.get_template("report.html").render(
        facts=facts,
        checks=checks,
        lines=summary(facts),
        sheets=sheets,
        judged=JUDGED,
        models={FILMS_ONLY: facts.models[FILMS_ONLY], EVERYTHING: facts.models[EVERYTHING]},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _data_url(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
