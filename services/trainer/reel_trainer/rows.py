"""Chooses the pictures of a training; called by ``preflight``, ``training`` and ``tasks``. Imports no torch.

Everything that would let a training succeed on nothing is refused here.
"""

from __future__ import annotations

from typing import NamedTuple

from reel_shared.contracts import Variant
from reel_shared.errors import Unprocessable
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_trainer.recipe import Recipe


class Rows(NamedTuple):
    train: list[ManifestImage]
    valid: list[ManifestImage]


def choose_rows(manifest: Manifest, recipe: Recipe) -> Rows:
    """Return training pictures and validation originals. Raises Unprocessable when they cannot teach or judge."""
    train, valid = manifest.on(Side.TRAIN), manifest.on(Side.VALID)
    if recipe.train_on_validation:
        train = train + _held_back(manifest)
    largest = max(recipe.stages, key=lambda stage: stage.least_update)
    if not train:
        raise Unprocessable("There is no training picture; build the dataset version with other sources.")
    if not valid:
        raise Unprocessable(
            "There is no validation picture; add scenes or web pictures, or raise valid_fraction."
        )
    missing = sorted(set(manifest.classes) - {row.label for row in train})
    if missing:
        raise Unprocessable(
            f"No training picture shows {', '.join(missing)}; add some or leave the class out."
        )
    if len(train) < largest.least_update:
        raise Unprocessable(
            f"There are {len(train)} training pictures, fewer than one batch of stage {largest.name} "
            f"({largest.least_update}); add pictures or take a recipe with smaller batches."
        )
    return Rows(train, valid)


def _held_back(manifest: Manifest) -> list[ManifestImage]:
    """Return what the split kept from training: validation originals and their variants, under the same filters."""
    valid = {image.id for image in manifest.on(Side.VALID)}
    request = manifest.request
    return [
        image
        for image in manifest.images
        if (image.id in valid or image.parent_id in valid)
        and image.split != Side.PROBE
        and image.source in request.train_sources
        and (request.variants or image.variant == Variant.ORIGINAL)
    ]


def used_rows(manifest: Manifest, recipe: Recipe) -> list[ManifestImage]:
    """Return every picture that this training looks at, to learn from it or to be judged by it."""
    judging = {image.id for image in manifest.variants_of(Side.VALID)}
    return [
        image
        for image in manifest.images
        if image.split != Side.EXCLUDED or image.id in judging or recipe.train_on_validation
    ]
