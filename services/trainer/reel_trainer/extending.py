"""Training a finished model further: whether it may be, and what it knows already; called by ``api`` and ``tasks``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from reel_shared.contracts import StoredFile, TrainModelRequest
from reel_shared.db.lookups import find_model
from reel_shared.db.models import DatasetVersion, TrainedModel
from reel_shared.errors import Conflict, Unprocessable
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_shared.model_card import WEIGHTS
from reel_trainer import catalogue
from reel_trainer.recipe import Recipe

PREFIX = "model:"
"""Before a model's id it names weights to start from: those of body and head."""


def finished(session: Session, job_id: str) -> TrainedModel:
    """Return the model that a training has made. Raises NotFound, Conflict."""
    job = catalogue.training(session, job_id)
    if job.state != "succeeded":
        raise Conflict(
            f"The training is {job.state}; only one that has succeeded can be extended. A failed or canceled one can "
            "be resumed."
        )
    return find_model(session, (job.result or {})["model_id"])


def origin(session: Session, request: TrainModelRequest, recipe: Recipe) -> TrainedModel | None:
    """Return the model that a training starts from, if it starts from one.

    Raises NotFound, and Unprocessable when the recipe or the dataset version does not go with that model.
    """
    wish = recipe.weights if request.weights == "recipe" else request.weights
    if not wish.startswith(PREFIX):
        return None
    model = find_model(session, wish.removeprefix(PREFIX))
    if model.architecture != recipe.architecture:
        raise Unprocessable(
            f"Model {model.id} is a {model.architecture} and the recipe {recipe.name} trains a {recipe.architecture}; "
            "take a recipe of the same architecture."
        )
    version = catalogue.version(session, request.dataset_version_id)
    if version.classes != model.card["classes"]:
        raise Unprocessable(
            f"Dataset version {version.id} has the classes {', '.join(version.classes)} and model {model.id} knows "
            f"{', '.join(model.card['classes'])}; train a new model on it."
        )
    if model.takedowns:
        raise Unprocessable(
            f"Model {model.id} has learnt pictures that were taken down since ({len(model.takedowns)} take-down(s)); "
            "train a new model."
        )
    return model


def weights_of(model: TrainedModel) -> StoredFile:
    return StoredFile.model_validate(model.files[WEIGHTS])


class Lesson(NamedTuple):
    """A dataset version that a model has learnt from, with its validation pictures or without."""

    version: DatasetVersion
    validation_too: bool


def lessons(session: Session, model: TrainedModel) -> list[Lesson]:
    """Return what a model has learnt from, and before it the models that it extends."""
    found: list[Lesson] = []
    while True:
        version = catalogue.version(session, model.dataset_version_id)
        found.append(Lesson(version, not model.card.get("held_out", True)))
        start = model.card.get("weights", "")
        if not start.startswith(PREFIX):
            return found
        model = find_model(session, start.removeprefix(PREFIX))


def already_learnt(manifest: Manifest, earlier: Iterable[tuple[Manifest, bool]]) -> int:
    """Return how many validation pictures were learnt before: they or others of their scene or group.

    ``earlier`` are manifests that were trained on, and whether on their validation side too.
    """
    seen = {
        name
        for other, validation_too in earlier
        for image in [*other.on(Side.TRAIN), *(other.on(Side.VALID) if validation_too else [])]
        for name in _names(image)
    }
    return sum(not seen.isdisjoint(_names(image)) for image in manifest.on(Side.VALID))


def _names(image: ManifestImage) -> Sequence[str]:
    """Return what would give a picture away as known."""
    return [name for name in (image.sha256, image.scene, image.group) if name]
