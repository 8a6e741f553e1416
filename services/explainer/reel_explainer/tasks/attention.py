"""Owns the job ``compare_attention``: where two models look in the same held-out pictures.

Called by the worker of the queue ``explainer``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from reel_explainer.difference import Difference, Look, compare_looks
from reel_explainer.registry import explainable
from reel_explainer.tasks.results import store_png
from reel_shared import manifest as manifests
from reel_shared.contracts import (
    COMPARE_ATTENTION,
    AttentionDifference,
    CompareAttentionRequest,
    CompareAttentionResult,
    ModelLook,
    StoredFile,
)
from reel_shared.db.engine import transact
from reel_shared.db.models import DatasetVersion
from reel_shared.errors import NotFound, Unprocessable
from reel_shared.images import open_picture
from reel_shared.jobs import Outcome
from reel_shared.manifest import ManifestImage, Side
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

MOST_OF_A_CLASS = 100
MANIFEST_BYTES = 2**30


@task(COMPARE_ATTENTION)
def compare_attention(context: Context, request: CompareAttentionRequest) -> Outcome:
    """Ask two models about the same held-out pictures, class by class, and draw how their looks differ."""
    rows = _held_out(request)
    before, after = (explainable(model, context.scratch) for model in request.models)
    known = [label for label in before.classes if label in after.classes]
    by_class = {label: _sample([row for row in rows if row.label == label]) for label in known}
    wanted = {label: chosen for label, chosen in by_class.items() if chosen}
    if not wanted:
        raise Unprocessable(
            "None of the pictures shows a class that both models know; choose other pictures."
        )
    total, done, found = sum(map(len, wanted.values())), 0, []

    def pictures(label: str) -> Iterator[NDArray[np.uint8]]:
        nonlocal done
        for row in wanted[label]:
            yield from _pixels(row)
            done += 1
            context.progress(done, total, unit="pictures", message=f"looking at {label}")

    for label in wanted:
        compared = compare_looks((before, after), pictures(label), label)
        if compared is not None:
            found.append(_difference(label, compared))
    result = CompareAttentionResult(
        models=(before.id, after.id), missing=total - sum(each.images for each in found), classes=found
    )
    return Outcome(result)


def _held_out(request: CompareAttentionRequest) -> list[ManifestImage]:
    """Return the pictures of the version that the request means. Raises NotFound or Unprocessable without any."""
    version = transact(lambda session: session.get(DatasetVersion, request.dataset_version_id))
    if version is None:
        raise NotFound(f"There is no dataset version {request.dataset_version_id}.")
    file = StoredFile.model_validate(version.manifest)
    data = storage().get_bytes(file.key, max_bytes=MANIFEST_BYTES, sha256=version.manifest_sha256)
    manifest = manifests.load(data, sha256=version.manifest_sha256)
    found = [
        row
        for row in manifest.on(Side.PROBE if request.probe else Side.VALID)
        if row.probe == request.probe
        and request.source in (None, row.source)
        and request.label in (None, row.label)
    ]
    if not found:
        probes = ", ".join(sorted({row.probe for row in manifest.on(Side.PROBE)})) or "none"
        raise Unprocessable(
            f"{version.id} holds no such pictures; its classes are {', '.join(manifest.classes[:20])}, its probe sets "
            f"{probes}."
        )
    return found


def _sample(rows: Sequence[ManifestImage]) -> list[ManifestImage]:
    """Return at most MOST_OF_A_CLASS rows, the same ones each time."""
    order = np.random.default_rng(0).permutation(len(rows))[:MOST_OF_A_CLASS]
    return [rows[place] for place in sorted(order.tolist())]


def _pixels(row: ManifestImage) -> list[NDArray[np.uint8]]:
    """Return the picture, or nothing where it has been taken down."""
    try:
        data = storage().get_bytes(row.key, max_bytes=settings().limits.picture_bytes, sha256=row.sha256)
    except NotFound:
        return []
    return [np.asarray(open_picture(data, max_pixels=row.width * row.height, max_bytes=len(data)))]


def _difference(label: str, found: Difference) -> AttentionDifference:
    before, after = found.looks
    return AttentionDifference(
        label=label,
        images=found.images,
        looks=(_shown(before), _shown(after)),
        difference=_rounded(found.difference),
        picture=store_png(found.picture),
    )


def _shown(look: Look) -> ModelLook:
    return ModelLook(accuracy=look.accuracy, heat=_rounded(look.heat), ring_share=look.border_share)


def _rounded(values: NDArray[np.float64]) -> list[list[float]]:
    return [[round(float(cell), 6) for cell in row] for row in values]
