"""What a trained network says of every picture that judges it; called by ``training``.

Validation originals and probe sets in a single view and, where the recipe asks for it, in several; stored variants of
validation originals in a single one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import nn

from reel_shared.contracts import Metrics
from reel_shared.errors import Unprocessable
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_trainer.batches import Batches
from reel_trainer.cache import PictureCache
from reel_trainer.calibration import Doubles
from reel_trainer.data import PictureLoader
from reel_trainer.evaluation import Floats, Parts, evaluate, probe_slices, slices, variant_slices
from reel_trainer.intervals import group_of
from reel_trainer.learner import predict
from reel_trainer.tta import tta


class Answers(NamedTuple):
    """``logits`` are (pictures, classes); ``augmented`` the same by test-time augmentation, None without it."""

    rows: list[ManifestImage]
    logits: Floats
    augmented: Doubles | None
    cache: PictureCache | None = None
    """The pictures of ``rows``, as they were looked at in a single view."""


class AllAnswers(NamedTuple):
    valid: Answers
    probes: Answers
    variants: Answers

    def metrics(self, classes: list[str]) -> dict[str, Metrics]:
        """Return the metrics of all parts, by test-time augmentation as ``tta:<part>``."""
        found: dict[str, Metrics] = {}
        sets: list[tuple[Answers, Parts]] = [
            (self.valid, slices),
            (self.probes, probe_slices),
            (self.variants, variant_slices),
        ]
        for answers, parts in sets:
            found |= evaluate(answers.logits, answers.rows, classes, parts)
        for answers, parts in sets:
            if answers.augmented is not None:
                judged = evaluate(answers.augmented, answers.rows, classes, parts)
                found |= {f"tta:{name}": metrics for name, metrics in judged.items()}
        return found


def ask(model: nn.Module, batches: Batches, manifest: Manifest, loader: PictureLoader) -> AllAnswers:
    """Return all answers at the last stage's size; ``loader`` has the validation pictures.

    Raises Unprocessable when an answer is no number.
    """
    passes = batches.recipe.tta
    valid = _ask(model, batches, "valid", batches.rows.valid, loader, passes=passes)
    found = {}
    for name, rows, times in (
        ("probe", manifest.on(Side.PROBE), passes),
        ("variant", manifest.variants_of(Side.VALID), 0),
    ):
        rows = _in_groups(rows, manifest)
        found[name] = _ask(model, batches, name, rows, None, passes=times)
    return AllAnswers(valid, found["probe"], found["variant"])


def _ask(
    model: nn.Module,
    batches: Batches,
    name: str,
    rows: list[ManifestImage],
    loader: PictureLoader | None,
    *,
    passes: int,
) -> Answers:
    if not rows:
        nothing = np.empty((0, len(batches.classes)), dtype=np.float32)
        return Answers(rows, nothing, None)
    loader = loader or batches.judging(name, rows)
    logits = predict(model, loader)
    wrong = int((~np.isfinite(logits)).any(axis=1).sum())
    if wrong:
        raise Unprocessable(
            f"The trained network's answer to {wrong} of {len(rows)} {name} pictures is no number; train again with "
            "a lower lr_max."
        )
    augmented = tta(model, batches.changed(name, rows, passes), logits, passes=passes) if passes else None
    return Answers(rows, logits, augmented, loader.cache)


def _in_groups(rows: list[ManifestImage], manifest: Manifest) -> list[ManifestImage]:
    """Give variants the group of their original: they are no proof of their own."""
    by_id = {image.id: image for image in manifest.images}
    found = []
    for row in rows:
        root = row
        while root.parent_id is not None:
            root = by_id[root.parent_id]
        found.append(row if root is row else row.model_copy(update={"group": group_of(root)}))
    return found
