"""The jobs of the queue ``trainer``: a dataset version out of a dataset, a model out of a dataset version.

Called by the worker of the queue. Training itself runs in a child process, so that this one stays small and
can always report, cancel and drain.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from reel_shared import manifest as manifests
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    TRAIN_MODEL,
    BuildDatasetVersionRequest,
    BuildDatasetVersionResult,
    StoredFile,
    TrainModelRequest,
    TrainModelResult,
)
from reel_shared.db.engine import transact
from reel_shared.jobs import Outcome
from reel_shared.manifest import Manifest, Side
from reel_shared.model_card import CARD, GRAPH, WEIGHTS, load_model_card
from reel_shared.runner import Context, task
from reel_shared.storage import storage
from reel_trainer import catalogue, versions
from reel_trainer.child import follow_training
from reel_trainer.recipe import PUBLIC_WEIGHTS, Recipe, load_recipe
from reel_trainer.run import RESULT, Spec

DOWNLOADS = 8
ASK_EVERY_SECONDS = 2.0
MANIFEST_BYTES = 2**30
WEIGHTS_BYTES = 4 * 2**30
MEDIA_TYPES = {
    CARD: "application/json",
    WEIGHTS: "application/vnd.safetensors",
    GRAPH: "application/onnx",
}


@task(BUILD_DATASET_VERSION)
def build_dataset_version(context: Context, request: BuildDatasetVersionRequest) -> Outcome:
    """Split the dataset as it stands now, and store its manifest with its certificate."""
    images = transact(lambda session: catalogue.pictures(session, request.dataset))
    context.progress(0, len(images), unit="pictures", message="splitting")
    manifest, certificate = versions.build_dataset_version(images, request)
    context.check()
    stored = storage().put_bytes("manifests", manifests.to_bytes(manifest), "application/json", ".json")
    result = BuildDatasetVersionResult(
        dataset_version_id=_named_after(context, "dsv"),
        manifest=stored,
        classes=manifest.classes,
        images=manifest.counts(),
        certificate=certificate,
    )
    return Outcome(
        result,
        lambda session: catalogue.write_version(
            session, result, dataset=request.dataset, job_id=context.job_id
        ),
    )


@task(TRAIN_MODEL)
def train_model(context: Context, request: TrainModelRequest) -> Outcome:
    """Bring the pictures here, train in a child process, store its files and register the model."""
    recipe = load_recipe(request.recipe)
    spec = _prepare(context, request, recipe)
    # The child says nothing while it imports torch.
    context.progress(0, unit="pictures", message="starting the training")
    follow_training(spec, context.scratch, hear=_relay(context), look=_attentive(context))
    card = load_model_card(spec.out)
    said = json.loads((spec.out / RESULT).read_text())
    result = TrainModelResult(
        model_id=spec.model_id,
        dataset_version_id=request.dataset_version_id,
        files={name: _publish(spec.out / name) for name in MEDIA_TYPES},
        **said,
    )
    return Outcome(
        result,
        lambda session: catalogue.write_model(
            session, result, card, job_id=context.job_id, serve=request.activate
        ),
    )


def _prepare(context: Context, request: TrainModelRequest, recipe: Recipe) -> Spec:
    version = transact(lambda session: catalogue.version(session, request.dataset_version_id))
    here = context.scratch
    folders = {name: here / name for name in ("out", "cache", "pictures")}
    for folder in folders.values():
        folder.mkdir()
    manifest_file = StoredFile.model_validate(version.manifest)
    data = storage().get_bytes(manifest_file.key, max_bytes=MANIFEST_BYTES, sha256=version.manifest_sha256)
    (here / "manifest.json").write_bytes(data)
    _bring(context, manifests.load(data, sha256=version.manifest_sha256), recipe, folders["pictures"])
    wish = recipe.weights if request.weights == "recipe" else request.weights
    return Spec(
        manifest=here / "manifest.json",
        manifest_sha256=version.manifest_sha256,
        pictures=folders["pictures"],
        recipe=recipe,
        weights=_weights(wish, here),
        weights_name=wish,
        seed=request.seed,
        out=folders["out"],
        scratch=folders["cache"],
        model_id=_named_after(context, "mdl"),
        dataset_version_id=request.dataset_version_id,
    )


def _bring(context: Context, manifest: Manifest, recipe: Recipe, folder: Path) -> None:
    """Download what this recipe looks at, each file once, checked against its hash."""
    wanted = {
        image.sha256: image.key
        for image in manifest.images
        if image.split != Side.EXCLUDED or recipe.train_on_validation
    }
    with ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download") as pool:
        try:
            coming = [
                pool.submit(storage().get_file, key, folder / sha, sha256=sha) for sha, key in wanted.items()
            ]
            for done, future in enumerate(as_completed(coming), start=1):
                future.result()
                context.progress(done, len(wanted), unit="pictures", message="fetching pictures")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _weights(wish: str, folder: Path) -> str:
    """Return a public source as it is, and anything else as a file fetched from storage; never a local path."""
    if wish in PUBLIC_WEIGHTS:
        return wish
    return str(storage().get_file(wish, folder / "start.safetensors", max_bytes=WEIGHTS_BYTES))


def _relay(context: Context) -> Callable[[str, dict[str, Any]], None]:
    def hear(event: str, data: dict[str, Any]) -> None:
        if event == "progress":
            message = data.get("message") or f"stage {data['stage']}"
            context.progress(data["done"], data["total"], unit=data["unit"], message=message)
        elif event == "epoch":
            context.metric(**data)

    return hear


def _attentive(context: Context) -> Callable[[], None]:
    """Look for a cancel wish every other second, also while a silent child reports no progress."""
    asked = time.monotonic()

    def look() -> None:
        nonlocal asked
        if time.monotonic() - asked >= ASK_EVERY_SECONDS:
            asked = time.monotonic()
            context.beat()
        context.check()

    return look


def _publish(path: Path) -> StoredFile:
    return storage().put_file("models", path, MEDIA_TYPES[path.name], path.suffix)


def _named_after(context: Context, prefix: str) -> str:
    """Name what a job makes after the job: an attempt that runs again makes the same thing."""
    return f"{prefix}_{context.job_id.partition('_')[2]}"
