"""The child process of a leak gap: ``python -m reel_trainer.gap_run SPEC.json``; started by ``tasks``.

Trains the same short recipe twice, once on a split that leaks on purpose. Neither network is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from reel_shared import manifest as manifests
from reel_shared.contracts import Model
from reel_shared.cores import usable_cores
from reel_shared.imports import without_collections
from reel_trainer.intervals import judged
from reel_trainer.leak_gap import gap_interval, neighbours
from reel_trainer.program import Report, run_program
from reel_trainer.recipe import Recipe

RESULT = "result.json"


class Spec(Model):
    """Two manifests of the same pictures; ``pictures`` is a folder of files named by their SHA-256."""

    random: Path
    groups: Path
    pictures: Path
    recipe: Recipe
    weights: str
    seed: int
    out: Path
    scratch: Path


def run(spec: Spec, report: Report) -> None:
    """Write the accuracies on both splits, their difference and its interval."""
    with without_collections():
        import torch

        from reel_trainer.batches import Places
        from reel_trainer.evaluation import labels
        from reel_trainer.training import train_model

    torch.set_num_threads(usable_cores())
    found: dict[str, Any] = {}
    verdicts = {}
    for number, (name, path) in enumerate((("random", spec.random), ("groups", spec.groups))):
        manifest = manifests.load(path.read_bytes())
        if name == "random":
            found["neighbours"] = neighbours(manifest)
        trained = train_model(
            manifest,
            spec.recipe.model_copy(update={"tta": 0}),
            Places(spec.pictures, spec.scratch),
            weights=spec.weights,
            seed=spec.seed,
            report=_half(report, number, name),
        )
        found[name] = trained.metrics["all"].model_dump()
        right = trained.logits.argmax(axis=1) == labels(trained.valid, manifest.classes)
        verdicts[name] = judged(trained.valid, right.tolist())
    found["gap"] = found["random"]["accuracy"] - found["groups"]["accuracy"]
    found["gap_interval"] = gap_interval(verdicts["random"], verdicts["groups"], seed=spec.seed)
    (spec.out / RESULT).write_text(json.dumps(found))


def _half(report: Report, number: int, name: str) -> Report:
    """Let the two trainings count as one."""

    def tell(event: str, data: dict[str, Any]) -> None:
        if event == "progress":
            message = f"{name} split: {data.get('message') or data.get('stage', '')}"
            data = {**data, "done": data["done"] + number * data["total"], "total": 2 * data["total"]}
            report(event, {**data, "message": message})
        elif event == "epoch":
            report(event, {**data, "split": name})

    return tell


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], Spec, run))
