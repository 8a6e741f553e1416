"""The child process of a training: ``python -m reel_trainer.run SPEC.json``; started by ``tasks``.

Reads files, writes files, and says on standard output how far it is, one JSON object a line. It knows no
database, no storage and no queue, and dies with its parent.
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
from typing import Any, TextIO

from pydantic import ValidationError

from reel_shared import manifest as manifests
from reel_shared.contracts import Model
from reel_shared.cores import usable_cores
from reel_shared.errors import ReelError, Unprocessable
from reel_trainer.leaks import certify
from reel_trainer.recipe import Recipe

RESULT = "result.json"
EXIT_FAILED = 3
EXIT_STOPPED = 143
PROGRESS_EVERY_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1


class Spec(Model):
    """``pictures`` is a folder of files named by their SHA-256; ``weights`` a source or a safetensors file."""

    manifest: Path
    manifest_sha256: str
    pictures: Path
    recipe: Recipe
    weights: str
    seed: int
    out: Path
    scratch: Path
    model_id: str
    dataset_version_id: str
    weights_name: str = ""
    threads: int | None = None


class Stopped(Exception):
    """SIGTERM came."""


class Events:
    """One JSON object a line; progress is thinned out, and every line is a point where a training may stop."""

    def __init__(self, stream: TextIO) -> None:
        self.stopped = False
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
        self.write(event, data)

    def write(self, event: str, data: dict[str, Any]) -> None:
        self._stream.write(json.dumps({"event": event, **data}) + "\n")
        self._stream.flush()


def main(arguments: list[str]) -> int:
    """Run one training; 0, EXIT_FAILED after one ``error`` line, or EXIT_STOPPED."""
    _die_with_parent()
    events = Events(_claim_stdout())
    signal.signal(signal.SIGTERM, _stopper(events))
    try:
        run(_read_spec(Path(arguments[0])), events)
    except Stopped:
        return EXIT_STOPPED
    except ReelError as error:
        facts = {"code": error.code, "status": error.status, "retryable": error.retryable}
        events.write("error", {**facts, "detail": error.detail})
        return EXIT_FAILED
    return 0


def run(spec: Spec, report: Callable[[str, dict[str, Any]], None]) -> None:
    """Train, export and write ``result.json``. Raises ReelError with the reason."""
    manifest = manifests.load(spec.manifest.read_bytes(), sha256=spec.manifest_sha256)
    if not certify(manifest, groups=0).certified:
        raise Unprocessable(
            "Train and validation share scenes, lineages or near duplicates; build the version again."
        )
    # seconds of imports: only once there is something to train on
    import torch

    from reel_trainer.export import Identity, export
    from reel_trainer.training import Places, train_model

    torch.set_num_threads(spec.threads or usable_cores())
    places = Places(spec.pictures, spec.scratch)
    trained = train_model(manifest, spec.recipe, places, weights=spec.weights, seed=spec.seed, report=report)
    who = Identity(spec.model_id, spec.dataset_version_id, spec.weights_name or spec.weights)
    export(trained, spec.out, manifest=manifest, recipe=spec.recipe, identity_of=who)
    result = {
        "recipe": spec.recipe.name,
        "architecture": spec.recipe.architecture,
        "precision": trained.precision,
        "device": trained.device,
        "stages": [stage.model_dump() for stage in trained.stages],
        "metrics": {name: metrics.model_dump() for name, metrics in trained.metrics.items()},
        "epochs": trained.epochs,
        "seconds": trained.seconds,
    }
    (spec.out / RESULT).write_text(json.dumps(result))


def _read_spec(path: Path) -> Spec:
    try:
        return Spec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Unprocessable(f"The training's specification cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unprocessable(
            f"The training's specification is wrong: {where or 'it'}: {first['msg']}."
        ) from error


def _claim_stdout() -> TextIO:
    """Keep standard output for events alone: whatever a library prints goes to standard error."""
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return stream


def _stopper(events: Events) -> Callable[[int, Any], None]:
    def stop(_signal: int, _frame: Any) -> None:
        events.stopped = True

    return stop


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request was made
        os._exit(EXIT_STOPPED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
