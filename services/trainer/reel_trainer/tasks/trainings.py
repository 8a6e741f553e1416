"""The job ``train_model``: a model out of a dataset version.

Training itself runs in a child process, so that this one stays small and can always report, cancel and drain.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from reel_shared.contracts import (
    TRAIN_MODEL,
    StoredFile,
    TrainModelRequest,
    TrainModelResult,
)
from reel_shared.db.engine import transact
from reel_shared.errors import Canceled
from reel_shared.jobs import Outcome
from reel_shared.manifest import Manifest
from reel_shared.model_card import (
    CARD,
    EVALUATION,
    GRAPH,
    INT8_GRAPH,
    REPORT_HTML,
    REPORT_JSON,
    WEIGHTS,
    load_model_card,
)
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage
from reel_trainer import catalogue, extending
from reel_trainer.child import LOG, follow
from reel_trainer.recipe import Recipe, load_recipe
from reel_trainer.rows import used_rows
from reel_trainer.run import RESULT, Spec
from reel_trainer.tasks import checkpointing, metrics
from reel_trainer.tasks.fetching import (
    bring_certificate,
    bring_manifest,
    bring_pictures,
    bring_weights,
    relay,
)
from reel_trainer.tasks.naming import named_after
from reel_trainer.tasks.tracked import tell_result, tracked
from reel_trainer.tracking import Tracking

MEDIA_TYPES = {
    CARD: "application/json",
    WEIGHTS: "application/vnd.safetensors",
    GRAPH: "application/onnx",
    INT8_GRAPH: "application/onnx",
    EVALUATION: "application/json",
    REPORT_HTML: "text/html; charset=utf-8",
    REPORT_JSON: "application/json",
}


@task(TRAIN_MODEL)
def train_model(context: Context, request: TrainModelRequest) -> Outcome:
    """Bring the pictures here, train in a child process, store its files and register the model.

    After each epoch a checkpoint goes to storage. Whoever runs the job next, here or elsewhere, goes on from it.
    """
    recipe = load_recipe(request.recipe)
    spec = _prepare(context, request, recipe)
    # The child says nothing while it imports torch.
    context.progress(0, unit="pictures", message="starting the training")
    look = checkpointing.attentive_to_stop(context)
    processes = settings().trainer.processes
    with tracked(context, request, recipe) as tracking:
        hear = _hearing(context, tracking)
        if not follow("reel_trainer.run", spec, context.scratch, hear=hear, look=look, processes=processes):
            raise Canceled  # it was asked to stop after an epoch, whose checkpoint is kept
        result = _result(request, spec)
        if tracking is not None:
            result = tell_result(tracking, result)
    card = load_model_card(spec.out)

    def register(session: Session) -> None:
        catalogue.write_model(session, result, card, job_id=context.job_id, serve=request.activate)
        for job_id in (context.job_id, request.resume_from):
            if job_id is not None:
                checkpointing.forget(session, job_id)

    return Outcome(result, register)


def _result(request: TrainModelRequest, spec: Spec) -> TrainModelResult:
    """Store the model's files and say what the child has made."""
    said = json.loads((spec.out / RESULT).read_text())
    return TrainModelResult(
        model_id=spec.model_id,
        dataset_version_id=request.dataset_version_id,
        files={name: _publish(spec.out / name) for name in _made(spec.out)},
        **said,
    )


def _hearing(context: Context, tracking: Tracking | None) -> Callable[[str, dict[str, Any]], None]:
    told = relay(context)

    def hear(event: str, data: dict[str, Any]) -> None:
        if event == "checkpoint":
            checkpointing.keep(context, data)
        elif event == "curve":
            metrics.keep_curve(context, data)
        elif event == LOG:
            metrics.keep_log(context, data)
        elif event == "epoch":
            metrics.keep_epoch(context, data)
            if tracking is not None:
                tracking.epoch(data)
        else:
            told(event, data)

    return hear


def _prepare(context: Context, request: TrainModelRequest, recipe: Recipe) -> Spec:
    version = transact(lambda session: catalogue.version(session, request.dataset_version_id))
    # it may have changed since the door was passed
    catalogue.trainable(version, allow_uncertified=request.allow_uncertified)
    here = context.scratch
    folders = {name: here / name for name in ("out", "cache", "pictures", "checkpoints")}
    for folder in folders.values():
        folder.mkdir()
    manifest = bring_manifest(version, here / "manifest.json")
    start = _start(request, recipe, manifest, here)
    bring_pictures(context, used_rows(manifest, recipe), folders["pictures"])
    return Spec(
        manifest=here / "manifest.json",
        manifest_sha256=version.manifest_sha256,
        pictures=folders["pictures"],
        recipe=recipe,
        weights=start.weights,
        weights_name=start.name,
        already_learnt=start.already_learnt,
        certificate=bring_certificate(version, here / "certificate.json"),
        allow_uncertified=request.allow_uncertified,
        seed=request.seed,
        out=folders["out"],
        scratch=folders["cache"],
        model_id=named_after(context, "mdl"),
        dataset_version_id=request.dataset_version_id,
        checkpoints=folders["checkpoints"],
        resume=checkpointing.bring_last(context, request.resume_from, here / "resume"),
    )


class _Start(NamedTuple):
    """Weights as a public source or a file here, what they are called, and how much validation they have learnt."""

    weights: str
    name: str
    already_learnt: int = 0


def _start(request: TrainModelRequest, recipe: Recipe, manifest: Manifest, folder: Path) -> _Start:
    """Return what a request starts from: a source, or a model of ours with what it knows already."""
    wish = recipe.weights if request.weights == "recipe" else request.weights
    model = transact(lambda session: extending.origin(session, request, recipe))
    if model is None:
        return _Start(bring_weights(wish, folder), wish)
    file = extending.weights_of(model)
    path = storage().get_file(file.key, folder / "start.safetensors", sha256=file.sha256)
    lessons = transact(lambda session: extending.lessons(session, model))
    earlier = [
        (bring_manifest(lesson.version, folder / "earlier.json"), lesson.validation_too) for lesson in lessons
    ]
    return _Start(str(path), f"{extending.PREFIX}{model.id}", extending.already_learnt(manifest, earlier))


def _made(folder: Path) -> list[str]:
    """Return the files to publish; where no report could be drawn the model's notes say so, and its card why int8
    may not serve."""
    optional = (INT8_GRAPH, REPORT_HTML, REPORT_JSON)
    return [name for name in MEDIA_TYPES if name not in optional or (folder / name).exists()]


def _publish(path: Path) -> StoredFile:
    return storage().put_file("models", path, MEDIA_TYPES[path.name], path.suffix)
