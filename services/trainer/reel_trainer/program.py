"""What every child process of the trainer has in common: events on standard output, and how it stops.

A program reads one JSON file and says on standard output how far it is, one JSON object a line. It knows no
database, no storage and no queue, and dies with its parent. Started by ``child``, or in several processes by torchrun:
then the first of them speaks, and the others tell nothing but errors.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

from pydantic import ValidationError

from reel_shared.contracts import Model
from reel_shared.errors import ReelError, Unprocessable

RUN_ID = "TORCHELASTIC_RUN_ID"
"""In the environment of what torchrun starts."""
EXIT_FAILED = 3
EXIT_STOPPED = 143
PROGRESS_EVERY_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1
SpecT = TypeVar("SpecT", bound=Model)
Report = Callable[[str, dict[str, Any]], None]


class Stopped(Exception):
    """SIGTERM came, or SIGUSR1 and then a checkpoint."""


class Events:
    """One JSON object a line; progress is thinned out, and every line is a point where a training may stop."""

    def __init__(self, stream: TextIO, *, muted: bool = False) -> None:
        self.stopped = False
        self.muted = muted
        self.stops_at_checkpoint = False
        self._stream = stream
        self._told = 0.0

    def __call__(self, event: str, data: dict[str, Any]) -> None:
        if self.stopped:
            raise Stopped
        now = time.monotonic()
        if event == "progress":
            if now - self._told < PROGRESS_EVERY_SECONDS and data["done"] < data["total"]:
                return
            self._told = now
        if not self.muted:
            self.write(event, data)
        if event == "checkpoint" and self.stops_at_checkpoint:
            raise Stopped

    def write(self, event: str, data: dict[str, Any]) -> None:
        self._stream.write(json.dumps({"event": event, **data}) + "\n")
        self._stream.flush()


def run_program(arguments: list[str], spec: type[SpecT], work: Callable[[SpecT, Report], None]) -> int:
    """Do ``work`` on the file named; 0, EXIT_FAILED after one ``error`` line, or EXIT_STOPPED."""
    die_with_parent()
    several = RUN_ID in os.environ
    events = Events(_claim_stdout(), muted=several and os.environ["RANK"] != "0")
    signal.signal(signal.SIGTERM, _setter(events, "stopped"))
    signal.signal(signal.SIGUSR1, _setter(events, "stops_at_checkpoint"))
    if several and not events.muted:
        events.write("process", {"pid": os.getpid()})
    try:
        work(_read(spec, Path(arguments[0])), events)
    except Stopped:
        if not several:
            return EXIT_STOPPED
        if not events.muted:
            events.write("stopped", {})
        return 0  # torchrun takes any other code for a failure
    except ReelError as error:
        say(f"error: {error.detail}")
        facts = {"code": error.code, "status": error.status, "retryable": error.retryable}
        events.write("error", {**facts, "detail": error.detail})
        return EXIT_FAILED
    return 0


def say(words: str) -> None:
    """Write a line to the log that people see: standard error, beside the warnings of libraries."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {words}\n")
    sys.stderr.flush()


def _read(spec: type[SpecT], path: Path) -> SpecT:
    try:
        return spec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Unprocessable(f"The child's specification cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unprocessable(
            f"The child's specification is wrong: {where or 'it'}: {first['msg']}."
        ) from error


def _claim_stdout() -> TextIO:
    """Keep standard output for events alone: whatever a library prints goes to standard error."""
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return stream


def _setter(events: Events, name: str) -> Callable[[int, Any], None]:
    def stop(_signal: int, _frame: Any) -> None:
        setattr(events, name, True)

    return stop


def die_with_parent() -> None:
    """Let the system kill this process when the one that started it ends, however that ends."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request was made
        os._exit(EXIT_STOPPED)
