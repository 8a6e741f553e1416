"""The child process of a learning-rate finder: ``python -m reel_trainer.lr_run SPEC.json``; started by ``tasks``.

Trains a copy of the network for a few steps at rising rates. The copy goes with the process.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from reel_shared import manifest as manifests
from reel_shared.contracts import Model
from reel_shared.cores import usable_cores
from reel_shared.errors import Unprocessable
from reel_shared.imports import without_collections
from reel_shared.manifest import Manifest
from reel_trainer.program import Report, run_program
from reel_trainer.recipe import Recipe, Stage, batch_of, find_stage
from reel_trainer.rows import Rows, choose_rows

RESULT = "result.json"
CURVE = "curve.svg"


class Spec(Model):
    """``pictures`` is a folder of files named by their SHA-256; ``weights`` a source or a safetensors file."""

    manifest: Path
    manifest_sha256: str
    pictures: Path
    recipe: Recipe
    stage: str
    weights: str
    seed: int
    start_lr: float
    end_lr: float
    steps: int
    out: Path
    scratch: Path


def sample(manifest: Manifest, recipe: Recipe, stage: Stage, *, steps: int, seed: int) -> Rows:
    """Return as many training pictures as the sweep can look at, drawn evenly, and one of the others.

    That one is there because loaders come in pairs; a sweep validates nothing. Raises Unprocessable like
    ``choose_rows``.
    """
    rows = choose_rows(manifest, recipe)
    count = min(len(rows.train), steps * batch_of(stage))
    return Rows(random.Random(seed).sample(rows.train, count), rows.valid[:1])


def run(spec: Spec, report: Report) -> None:
    """Write the points of the sweep, what they suggest, and a picture of them."""
    with without_collections():
        import torch
        from fastai.torch_core import set_seed

        from reel_trainer.batches import Batches, Places
        from reel_trainer.learner import prepare_network, stage_learner
        from reel_trainer.lr_curve import draw
        from reel_trainer.lr_sweep import Sweep, suggestions
        from reel_trainer.precision import effective_precision
        from reel_trainer.steps import Step

    began = time.monotonic()
    torch.set_num_threads(usable_cores())
    manifest = manifests.load(spec.manifest.read_bytes(), sha256=spec.manifest_sha256)
    number = find_stage(spec.recipe, spec.stage)
    stage = spec.recipe.stages[number]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = batch_of(stage)
    rows = sample(manifest, spec.recipe, stage, steps=spec.steps, seed=spec.seed)
    set_seed(spec.seed, reproducible=device.type == "cpu")
    network = prepare_network(spec.recipe.architecture, len(manifest.classes), spec.weights)
    precision = effective_precision(spec.recipe, device, network.model)
    network.model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def tell(message: str) -> None:
        report("progress", {"done": 0, "total": spec.steps, "unit": "steps", "message": message})

    places = Places(spec.pictures, spec.scratch)
    batches = Batches(manifest.classes, spec.recipe, places, rows, network.stats, device, spec.seed, tell)
    sweep = Sweep(spec.start_lr, spec.end_lr, spec.steps, report)
    loaders = batches.loaders(stage, number, Step(batch, 1))
    learner = stage_learner(network.model, spec.recipe, stage, loaders, precision, [sweep])
    with learner.no_bar(), learner.no_logging():
        learner.fit(spec.steps // len(loaders.train) + 1)
    stopped: Exception | None = getattr(learner, "stopped_by", None)
    if stopped is not None:
        raise stopped
    if not sweep.points:
        raise Unprocessable(
            f"The loss is no number at the first step, at rate {spec.start_lr:g}; check the weights."
        )
    found = suggestions(sweep.points, spec.steps)
    title = f"{spec.recipe.name}, stage {stage.name}: {spec.recipe.architecture} at {stage.size} px"
    (spec.out / CURVE).write_text(draw(sweep.points, found, title=title))
    result = {
        "points": [point.model_dump() for point in sweep.points],
        "diverged": sweep.diverged,
        "suggestions": found,
        "precision": precision,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "seconds": time.monotonic() - began,
    }
    (spec.out / RESULT).write_text(json.dumps(result))


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], Spec, run))
