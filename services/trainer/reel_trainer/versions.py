"""Builds a dataset version: split, manifest and certificate; called by the ``build_dataset_version`` task."""

from __future__ import annotations

from collections.abc import Sequence

from reel_shared.contracts import BuildDatasetVersionRequest, SplitCertificate
from reel_shared.errors import Unprocessable
from reel_shared.manifest import Manifest, ManifestImage
from reel_trainer.leaks import certify
from reel_trainer.splits import split


def build_dataset_version(
    images: Sequence[ManifestImage], request: BuildDatasetVersionRequest
) -> tuple[Manifest, SplitCertificate]:
    """Return the manifest and its certificate. Raises Unprocessable when there is nothing to learn from.

    Variants whose original is not among ``images`` are left out: their lineage cannot be kept on one side.
    """
    known = {image.id for image in images}
    whole = [image for image in images if image.parent_id is None or image.parent_id in known]
    classes = sorted({image.label for image in whole if image.parent_id is None})
    if not classes:
        raise Unprocessable(f"Dataset {request.dataset!r} has no pictures yet; ingest films or web pictures.")
    if len(classes) < 2:
        raise Unprocessable(
            f"Dataset {request.dataset!r} has only the class {classes[0]!r}; a classifier needs two or more."
        )
    found = split(whole, request)
    manifest = Manifest(
        dataset=request.dataset,
        classes=classes,
        request=request,
        images=[image.model_copy(update={"split": found.sides[image.id]}) for image in whole],
    )
    certificate = certify(manifest, groups=found.groups, warnings=found.warnings + _lacking(manifest))
    return manifest, certificate


def _lacking(manifest: Manifest) -> list[str]:
    counts = manifest.counts()
    in_train = {label for by_class in counts.get("train", {}).values() for label in by_class}
    return [f"class {label} has no training picture" for label in manifest.classes if label not in in_train]
