"""Follows a training's figures: drawn on a terminal, one JSON object a line when piped; used by ``train`` and
``trainings``, which also has it draw a learning-rate sweep."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reel_shared.client import Client
from reel_shared.contracts import TERMINAL, JsonObject
from reelsight.commands import console
from reelsight.commands.following import attended
from reelsight.plot import plot

LOOK_EVERY_SECONDS = 1.0
EPOCHS_SHOWN = 8
HEIGHT = 6
GIB = 2**30


def watched(client: Client, job_id: str, *, as_json: bool) -> JsonObject:
    """Follow a training to its end and return its job. Ends the command when it fails."""
    look = watch_lines if console.wants_json(as_json) else watch_screen
    job = attended(client, lambda: look(client, job_id), live=lambda: [job_id], watch="reel trainings watch")
    if job["state"] != "succeeded":
        console.fail(f"{job_id} {job['state']}. {(job['error'] or {}).get('detail', '')}".strip())
    return job


def watch_lines(client: Client, job_id: str) -> JsonObject:
    """Print every point and epoch once, as it comes; return the job as it ended."""
    told = Told()
    job: JsonObject = {}
    for job, metrics in _looks(client, job_id):  # noqa: B007 - the last one counts
        for line in told.news(metrics):
            console.print_line(line)
    console.print_line({"type": "end", "state": job["state"], "error": job["error"]})
    return job


def watch_screen(client: Client, job_id: str) -> JsonObject:
    """Draw the figures until the job has ended; return it."""
    job: JsonObject = {}
    with Live(console=console.err, refresh_per_second=4) as live:
        for job, metrics in _looks(client, job_id):
            live.update(screen(job, metrics, width=console.err.width))
    return job


class Told:
    """Remembers what has been printed: points are thinned out behind us, so places count, not their number."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._now: JsonObject | None = None

    def news(self, metrics: JsonObject) -> Iterator[JsonObject]:
        """Yield what was not yielded before."""
        for stage in metrics["stages"]:
            name = stage["stage"]
            for point in stage["points"]:
                if point["step"] > self._steps.get(name, 0):
                    self._steps[name] = point["step"]
                    yield {"type": "point", "stage": name, **point}
            for row in stage["epochs"]:
                if row["epoch"] > self._epochs.get(name, 0):
                    self._epochs[name] = row["epoch"]
                    yield {"type": "epoch", **row}
        if metrics["now"] and metrics["now"] != self._now:
            self._now = metrics["now"]
            yield {"type": "now", **metrics["now"]}


def screen(job: JsonObject, metrics: JsonObject, *, width: int) -> RenderableType:
    """Return a training as a person sees it on a terminal ``width`` characters wide."""
    progress = job["progress"]
    parts: list[RenderableType] = [
        Text(f"{job['id']}  {job['state']}  {progress['message']}", style="bold"),
        ProgressBar(total=progress["total"] or 1, completed=progress["done"], width=min(60, width)),
    ]
    if metrics["now"]:
        parts.append(Text(standing(metrics["now"])))
    points = list(_by_step(metrics["stages"]))
    rows = [row for stage in metrics["stages"] for row in stage["epochs"]]
    across = max(20, min(100, width - 12))
    parts += _drawn("loss", [(x, p["loss"]) for x, p in points if p["loss"] is not None], across)
    parts += _drawn("rate", [(x, p["lr"]) for x, p in points], across)
    parts += _drawn("accuracy", [(float(n), row["accuracy"]) for n, row in enumerate(rows)], across)
    if rows:
        parts.append(_table(rows[-EPOCHS_SHOWN:]))
    return Group(*parts)


def standing(now: JsonObject) -> str:
    """Say speed, time left and memory in one line."""
    speed = f"{now['images_per_second']:.0f} pictures/s, " if now["images_per_second"] else ""
    minutes, seconds = divmod(round(now["seconds_left"]), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
    memory = f"{now['memory'] / GIB:.1f} GiB"
    on_gpu = f", {now['gpu_memory'] / GIB:.1f} GiB on the GPU" if now.get("gpu_memory") else ""
    return f"{speed}about {left} left, {memory} of memory{on_gpu}"


def sweep_lines(result: JsonObject, *, width: int) -> list[RenderableType]:
    """Return a learning-rate sweep as a person reads it: the smoothed loss over the rate, and what it suggests."""
    points = [(math.log10(point["lr"]), point["loss"]) for point in result["points"]]
    lines = _drawn("loss", points, max(20, min(100, width - 12)))
    ends = [result["points"][place]["lr"] for place in (0, -1)]
    lines.append(
        f"rates from {ends[0]:.1e} to {ends[1]:.1e}{', where the loss diverged' * result['diverged']}"
    )
    lines += [f"{name:>8} {rate:.2e}" for name, rate in result["suggestions"].items()]
    if not result["suggestions"]:
        lines.append("It diverged too soon to suggest a rate; begin at a lower one: --set start_lr=1e-9.")
    return lines


def _looks(client: Client, job_id: str) -> Iterator[tuple[JsonObject, JsonObject]]:
    """Yield the job and its figures until it has ended; the figures are read behind the job, so none is missed."""
    while True:
        job = client.job(job_id)
        yield job, client.training_metrics(job_id)
        if job["state"] in TERMINAL:
            return
        time.sleep(LOOK_EVERY_SECONDS)


def _by_step(stages: list[JsonObject]) -> Iterator[tuple[float, JsonObject]]:
    """Yield the points of all stages with their places in the whole training."""
    before = 0
    for stage in stages:
        for point in stage["points"]:
            yield float(before + point["step"]), point
        before += stage["points"][-1]["step"] if stage["points"] else 0


def _drawn(name: str, points: list[tuple[float, float]], width: int) -> list[RenderableType]:
    if len(points) < 2:
        return []
    ys = [y for _, y in points]
    lines = plot(points, width=width, height=HEIGHT)
    edges = {0: f"{max(ys):.3g}", HEIGHT - 1: f"{min(ys):.3g}", HEIGHT // 2: name}
    return [Text(f"{edges.get(number, ''):>9} {line}") for number, line in enumerate(lines)]


def _table(rows: list[JsonObject]) -> Table:
    sources = sorted({name for row in rows for name in row if name.startswith("accuracy_")})
    headings = ["stage", "epoch", "train loss", "valid loss", "accuracy"]
    table = Table(*headings, *(name.removeprefix("accuracy_") for name in sources), box=None, pad_edge=False)
    for row in rows:
        figures = [row[name] for name in ("train_loss", "valid_loss", "accuracy")]
        figures += [row.get(name) for name in sources]
        shown = ["" if value is None else f"{value:.3f}" for value in figures]
        table.add_row(str(row["stage"]), str(row["epoch"]), *shown)
    return table
