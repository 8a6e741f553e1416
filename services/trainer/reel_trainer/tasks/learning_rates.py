"""The job ``find_learning_rate``: a few steps at rising rates in a child process, and what their losses say."""

from __future__ import annotations

import json

from reel_shared.contracts import FIND_LEARNING_RATE, FindLearningRateRequest, FindLearningRateResult
from reel_shared.db.engine import transact
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.storage import storage
from reel_trainer import catalogue
from reel_trainer.child import follow
from reel_trainer.lr_run import CURVE, RESULT, Spec, sample
from reel_trainer.recipe import find_stage, load_recipe
from reel_trainer.tasks.fetching import attentive, bring_manifest, bring_pictures, bring_weights, relay


@task(FIND_LEARNING_RATE)
def find_learning_rate(context: Context, request: FindLearningRateRequest) -> Outcome:
    """Bring the pictures of the sweep here and run it. Nothing of the network is kept."""
    recipe = load_recipe(request.recipe)
    stage = recipe.stages[find_stage(recipe, request.stage)]
    version = transact(lambda session: catalogue.whole_version(session, request.dataset_version_id))
    folders = {name: context.scratch / name for name in ("out", "cache", "pictures")}
    for folder in folders.values():
        folder.mkdir()
    path = context.scratch / "manifest.json"
    rows = sample(bring_manifest(version, path), recipe, stage, steps=request.steps, seed=request.seed)
    bring_pictures(context, [*rows.train, *rows.valid], folders["pictures"])
    spec = Spec(
        manifest=path,
        manifest_sha256=version.manifest_sha256,
        pictures=folders["pictures"],
        recipe=recipe,
        stage=stage.name,
        weights=bring_weights(
            recipe.weights if request.weights == "recipe" else request.weights, context.scratch
        ),
        seed=request.seed,
        start_lr=request.start_lr,
        end_lr=request.end_lr,
        steps=request.steps,
        out=folders["out"],
        scratch=folders["cache"],
    )
    follow("reel_trainer.lr_run", spec, context.scratch, hear=relay(context), look=attentive(context))
    result = FindLearningRateResult(
        dataset_version_id=version.id,
        recipe=recipe.name,
        stage=stage.name,
        curve=storage().put_file("learning-rates", spec.out / CURVE, "image/svg+xml", ".svg"),
        **json.loads((spec.out / RESULT).read_text()),
    )
    return Outcome(result)
