"""The job ``measure_leak_gap``: one short training on a random split and one on whole groups, compared."""

from __future__ import annotations

import json
import time
from typing import Literal

from reel_shared import manifest as manifests
from reel_shared.contracts import (
    MEASURE_LEAK_GAP,
    BuildDatasetVersionRequest,
    MeasureLeakGapRequest,
    MeasureLeakGapResult,
    Variant,
)
from reel_shared.db.engine import transact
from reel_shared.jobs import Outcome
from reel_shared.manifest import Manifest, Side
from reel_shared.runner import Context, task
from reel_trainer import catalogue, versions
from reel_trainer.child import follow
from reel_trainer.gap_run import RESULT, Spec
from reel_trainer.recipe import load_recipe
from reel_trainer.tasks.fetching import attentive, bring_pictures, relay


@task(MEASURE_LEAK_GAP)
def measure_leak_gap(context: Context, request: MeasureLeakGapRequest) -> Outcome:
    """Split the dataset as it stands twice, and train on both. Nothing of it is kept but the figures."""
    started = time.monotonic()
    recipe = load_recipe(request.recipe)
    images = transact(lambda session: catalogue.pictures(session, request.dataset))

    def manifest(strategy: Literal["groups", "random"]) -> Manifest:
        wanted = BuildDatasetVersionRequest(
            dataset=request.dataset,
            train_sources=request.train_sources,
            variants=False,
            valid_fraction=request.valid_fraction,
            strategy=strategy,
            seed=request.seed,
        )
        return versions.build_dataset_version(chosen, wanted).manifest

    originals = [image for image in images if image.variant == Variant.ORIGINAL]
    chosen = [image for image in originals if image.source in request.train_sources]
    folders = {name: context.scratch / name for name in ("out", "cache", "pictures")}
    for folder in folders.values():
        folder.mkdir()
    paths = {name: context.scratch / f"{name}.json" for name in ("random", "groups")}
    made = {"random": manifest("random"), "groups": manifest("groups")}
    for name, each in made.items():
        paths[name].write_bytes(manifests.to_bytes(each))
    used = [image for each in made.values() for image in each.images if image.split != Side.EXCLUDED]
    bring_pictures(context, used, folders["pictures"])
    spec = Spec(
        random=paths["random"],
        groups=paths["groups"],
        pictures=folders["pictures"],
        recipe=recipe,
        weights=recipe.weights,
        seed=request.seed,
        out=folders["out"],
        scratch=folders["cache"],
    )
    follow("reel_trainer.gap_run", spec, context.scratch, hear=relay(context), look=attentive(context))
    result = MeasureLeakGapResult(
        dataset=request.dataset,
        recipe=request.recipe,
        seconds=time.monotonic() - started,
        **json.loads((spec.out / RESULT).read_text()),
    )
    return Outcome(result)
