"""A version goes out as a zip, comes back as another dataset, and must be the same version again."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from reel_shared.contracts import (
    BuildDatasetVersionRequest,
    BuildDatasetVersionResult,
    ExportDatasetRequest,
    ExportDatasetResult,
    ImportDatasetRequest,
    ImportDatasetResult,
    Variant,
)
from reel_shared.manifest import Manifest, ManifestImage, Side
from reelsight.demo.facts import RoundTrip
from reelsight.demo.splitting import VALID_FRACTION, manifest_of
from reelsight.demo.work import Work

NEW = {"id", "key", "parent_id", "scene", "group", "movie_id", "reason", "url"}
"""What is of the platform that a picture lies in, not of the picture."""


def go_round(work: Work, version_id: str, *, dataset: str) -> RoundTrip:
    """Export a version without its variants, import it as ``dataset``, build that, and compare."""
    client = work.client
    export = ExportDatasetRequest(dataset_version_id=version_id, variants=False)
    archive = work.finish("export", client.export_dataset(export), ExportDatasetResult).archive
    assert archive.url is not None  # the API adds it whenever it shows a file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.zip"
        client.save(archive.url, path)
        request = ImportDatasetRequest(dataset=dataset, key=client.upload(path).key, augment=False)
    work.finish("import", client.import_dataset(request), ImportDatasetResult)
    build = BuildDatasetVersionRequest(dataset=dataset, valid_fraction=VALID_FRACTION)
    job = client.build_dataset_version(build)
    again = work.finish("version of the import", job, BuildDatasetVersionResult)
    before = manifest_of(client, version_id)
    found = compare(before, manifest_of(client, again.dataset_version_id))
    found.archive_bytes = archive.size
    return found


def compare(before: Manifest, after: Manifest) -> RoundTrip:
    """Compare the originals that take part, by their bytes: sides, labels, licences and all else that is kept."""
    first, second = _originals(before), _originals(after)
    differing: Counter[str] = Counter()
    same = 0
    for sha256, image in first.items():
        if sha256 not in second:
            differing["missing"] += 1
            continue
        fields = ManifestImage.model_fields.keys() - NEW
        unlike = [name for name in fields if getattr(image, name) != getattr(second[sha256], name)]
        differing.update(unlike)
        same += not unlike
    if extra := len(second.keys() - first.keys()):
        differing["extra"] = extra
    return RoundTrip(pictures=len(first), archive_bytes=0, same=same, differing=differing)


def _originals(manifest: Manifest) -> dict[str, ManifestImage]:
    return {
        image.sha256: image
        for image in manifest.images
        if image.variant == Variant.ORIGINAL and image.split != Side.EXCLUDED
    }
