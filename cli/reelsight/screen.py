"""Progress on a terminal: one line a step, one bar a job; plain lines when piped. Used by demo and the commands."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from reel_shared.contracts import TERMINAL, JsonObject

SHOWN = 8
"""Bars beyond this many would not fit on a screen; the rest is one bar that counts jobs."""


class Screen:
    def __init__(self, console: Console) -> None:
        self.console = console

    def step(self, name: str) -> None:
        self.console.print(f"[bold]›[/] {name}", highlight=False)

    @contextmanager
    def bar(self, name: str, *, unit: str) -> Iterator[Callable[[int, int | None], None]]:
        """Show one bar; yields ``update(done, total)``."""
        with self._progress() as progress:
            task = progress.add_task(f"  {name}", total=None, text="")

            def update(done: int, total: int | None = None) -> None:
                text = f"{done}/{total} {unit}" if total else f"{done} {unit}"
                progress.update(task, completed=done, total=total, text=text)

            yield update

    @contextmanager
    def following(self, jobs: Mapping[Any, JsonObject]) -> Iterator[Callable[[Hashable, JsonObject], None]]:
        """Show the jobs; yields ``update(name, job)``."""
        with self._progress() as progress:
            overall = progress.add_task("  jobs", total=len(jobs), text="")
            bars = {}
            if len(jobs) <= SHOWN:
                bars = {name: progress.add_task(f"  {_text(name)}", total=None, text="") for name in jobs}
            ended: set[Hashable] = set()

            def update(name: Hashable, job: JsonObject) -> None:
                has_ended = job["state"] in TERMINAL
                if has_ended:
                    ended.add(name)
                progress.update(overall, completed=len(ended), text=f"{len(ended)}/{len(jobs)} jobs")
                if name in bars:
                    done, total = job["progress"]["done"], job["progress"]["total"]
                    if has_ended:
                        done = total = max(1, total or 1)
                    text = " ".join(part for part in (job["state"], job["progress"]["message"]) if part)
                    progress.update(bars[name], completed=done, total=total, text=text)

            yield update

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )


def _text(name: Hashable) -> str:
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
