"""Starts a child process of the trainer and follows it; called by ``tasks``. Imports no torch."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from reel_shared import threads
from reel_shared.contracts import Model
from reel_shared.errors import ReelError
from reel_trainer.child_log import ChildLog
from reel_trainer.launch import may_be_several
from reel_trainer.program import EXIT_STOPPED

log = structlog.get_logger(__name__)

Hear = Callable[[str, dict[str, Any]], None]
LOG = "log"
"""The event whose ``lines`` the child has written on standard error, warnings above all."""
LOOK_EVERY_SECONDS = 0.5
TELL_EVERY_SECONDS = 2.0
STOP_SECONDS = 2.0
"""From SIGTERM to SIGKILL. A child that imports torch hears late, and a training publishes nothing before its end."""
_LINES = 10_000
_TUNING = {
    # threads that spin while they wait starve a machine that others use too
    "OMP_WAIT_POLICY": "PASSIVE",
    # glibc would map and unmap every activation anew: a third of a step's processor time on a CPU
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30),
}


class ChildFailed(ReelError):
    """The child said why: with the code, the status and the retryability of its own error."""

    title = "The work cannot be done"

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["detail"])
        for name in ("code", "status", "retryable"):
            setattr(self, name, error[name])  # of this one, not of the class


def follow(
    program: str,
    spec: Model,
    folder: Path,
    *,
    hear: Hear,
    look: Callable[[], object],
    processes: int = 1,
) -> bool:
    """Run the child, the module ``program``, on ``spec`` to its end; False when it stopped because it was asked to.

    ``processes`` are that many that work together, 0 one for each GPU.

    ``hear`` gets its events, and as events ``log`` the lines that it writes on standard error. ``look`` runs twice a
    second; either may raise. Whatever they raise stops the child
    first (SIGTERM, then SIGKILL). A signal that ``look`` returns is sent to the child, once; of several processes to
    the first. Raises ChildFailed with the child's reason, ReelError when it died without one.
    """
    path, story = folder / "spec.json", ChildLog(folder / "child.log")
    path.write_text(spec.model_dump_json())
    with story.path.open("wb") as stderr:
        child = subprocess.Popen(
            _command(program, path, processes),
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **_TUNING},
            start_new_session=True,  # a Ctrl-C in the terminal is for the worker, which then stops the child
        )
    try:
        heard = _listen(child, hear, look, story)
        code = child.wait()
        _tell(story, hear, last=True)
    finally:
        _stop(child)
    if code and heard.error:
        raise ChildFailed(heard.error)
    if heard.asked and (code == EXIT_STOPPED or (heard.stopped and not code)):
        return False
    if code or heard.stopped:
        log.error("child.died", program=program, code=code, story=story.tail())
        if may_be_several(processes):
            raise ReelError(
                "One of the processes that trained together died, and the others with it; the worker's log has the "
                "story. The training can be resumed from its last checkpoint."
            )
        raise ReelError(
            f"The process that did the work ended with {_meaning(code)}; the worker's log has the story."
        )
    return True


def _command(program: str, path: Path, processes: int) -> list[str]:
    if may_be_several(processes):
        return [sys.executable, "-m", "reel_trainer.launch", str(processes), program, str(path)]
    return [sys.executable, "-m", program, str(path)]


@dataclass
class _Heard:
    """What a child has told; ``asked`` if a signal was sent to it, ``pid`` of the first of several processes."""

    error: dict[str, Any] | None = None
    asked: bool = False
    stopped: bool = False
    pid: int | None = None


def _listen(
    child: subprocess.Popen[bytes],
    hear: Hear,
    look: Callable[[], object],
    story: ChildLog,
) -> _Heard:
    """Pass events on until the child closes its output; return what was not for ``hear``.

    A signal waits for the child's first event: before it listens, any signal would kill it.
    """
    lines: queue.Queue[bytes | None] = queue.Queue(_LINES)
    threads.start(_read, child, lines, name="child-events")
    heard, spoken, sent, told = _Heard(), False, None, time.monotonic()
    while True:
        wish = look()
        if time.monotonic() - told >= TELL_EVERY_SECONDS:
            told = time.monotonic()
            _tell(story, hear)
        if isinstance(wish, signal.Signals) and spoken and wish != sent:
            sent, heard.asked = wish, True
            _signal(child, heard.pid, wish)
        try:
            line = lines.get(timeout=LOOK_EVERY_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            return heard
        spoken, event = True, json.loads(line)
        name = event.pop("event")
        if name == "error":
            heard.error = heard.error or event  # others of several fail because the first one did
        elif name == "process":
            heard.pid = event["pid"]
        elif name == "stopped":
            heard.stopped = True
        else:
            hear(name, event)


def _tell(story: ChildLog, hear: Hear, *, last: bool = False) -> None:
    lines = story.news(last=last)
    if lines:
        hear(LOG, {"lines": lines})


def _signal(child: subprocess.Popen[bytes], pid: int | None, wish: signal.Signals) -> None:
    if pid is None:
        child.send_signal(wish)
        return
    with contextlib.suppress(ProcessLookupError):  # its end is heard next
        os.kill(pid, wish)


def _read(child: subprocess.Popen[bytes], lines: queue.Queue[bytes | None]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put(None)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _meaning(code: int) -> str:
    if code == -signal.SIGKILL:
        return "SIGKILL (most often: out of memory; take smaller batches)"
    return f"signal {-code}" if code < 0 else f"code {code}"
