"""How two dataset versions differ; called by the API."""

from __future__ import annotations

from collections import Counter

from reel_shared.contracts import MovedImage, Variant, VersionDiff
from reel_shared.manifest import Manifest, ManifestImage, Side

LONGEST = 1000


def diff(base: Manifest, version: Manifest, *, base_id: str, version_id: str) -> VersionDiff:
    """Compare the originals of two manifests; variants follow their originals and are not counted."""
    before, after = _originals(base), _originals(version)
    common = sorted(before.keys() & after.keys())
    added, removed = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    moved = [_moved(name, _side(before[name]), _side(after[name])) for name in common]
    relabelled = [_moved(name, before[name].label, after[name].label) for name in common]
    moved = [each for each in moved if each.before != each.after]
    relabelled = [each for each in relabelled if each.before != each.after]
    changed = {each.id for each in (*moved, *relabelled)}
    return VersionDiff(
        base=base_id,
        version=version_id,
        classes_added=[label for label in version.classes if label not in base.classes],
        classes_removed=[label for label in base.classes if label not in version.classes],
        counts={
            "added": len(added),
            "removed": len(removed),
            "moved": len(moved),
            "relabelled": len(relabelled),
            "same": len(common) - len(changed),
        },
        by_class=_by_class(before, after),
        added=added[:LONGEST],
        removed=removed[:LONGEST],
        moved=moved[:LONGEST],
        relabelled=relabelled[:LONGEST],
    )


def _originals(manifest: Manifest) -> dict[str, ManifestImage]:
    return {image.id: image for image in manifest.images if image.variant == Variant.ORIGINAL}


def _side(image: ManifestImage) -> str:
    return f"probe:{image.probe}" if image.split == Side.PROBE else image.split.value


def _moved(name: str, before: str, after: str) -> MovedImage:
    return MovedImage(id=name, before=before, after=after)


def _by_class(before: dict[str, ManifestImage], after: dict[str, ManifestImage]) -> dict[str, dict[str, int]]:
    counted: Counter[tuple[str, str]] = Counter()
    for when, images in (("before", before), ("after", after)):
        for image in images.values():
            if image.split in (Side.TRAIN, Side.VALID):
                counted[image.label, f"{image.split.value}_{when}"] += 1
    labels = sorted({label for label, _ in counted})
    columns = [f"{side}_{when}" for side in ("train", "valid") for when in ("before", "after")]
    return {label: {column: counted[label, column] for column in columns} for label in labels}
