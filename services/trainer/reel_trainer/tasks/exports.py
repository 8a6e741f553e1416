"""The job ``export_dataset``: a dataset version as one archive for other tools."""

from __future__ import annotations

from collections.abc import Iterator

from reel_shared.contracts import EXPORT_DATASET, ExportDatasetRequest, ExportDatasetResult
from reel_shared.db.engine import transact
from reel_shared.db.models import DatasetVersion
from reel_shared.jobs import Outcome
from reel_shared.manifest import ManifestImage
from reel_shared.runner import Context, task
from reel_shared.storage import storage
from reel_trainer import catalogue, packing
from reel_trainer.tasks.fetching import bring_manifest

PART = 2**20


def _version(request: ExportDatasetRequest) -> DatasetVersion:
    return transact(lambda session: catalogue.whole_version(session, request.dataset_version_id))


@task(EXPORT_DATASET)
def export_dataset(context: Context, request: ExportDatasetRequest) -> Outcome:
    """Pack the pictures that train, validate or probe, with their tables; one picture is here at a time."""
    version = _version(request)
    manifest = bring_manifest(version, context.scratch / "manifest.json")
    images = packing.chosen(manifest, variants=request.variants)
    holder = context.scratch / "picture"

    def read(image: ManifestImage) -> Iterator[bytes]:
        storage().get_file(image.key, holder, sha256=image.sha256)
        with holder.open("rb") as file:
            while part := file.read(PART):
                yield part

    counts = packing.pack(
        manifest,
        images,
        context.scratch / "export.zip",
        version_id=version.id,
        read=read if request.pictures else None,
        tick=lambda done: context.progress(done, len(images), unit="pictures", message="packing"),
    )
    _version(request)  # a picture that is packed already may have been taken down meanwhile
    archive = storage().put_file("exports", context.scratch / "export.zip", "application/zip", ".zip")
    return Outcome(ExportDatasetResult(dataset_version_id=version.id, images=counts, archive=archive))
