"""The job ``build_dataset_version``: a dataset version out of a dataset."""

from __future__ import annotations

from sqlalchemy.orm import Session

from reel_shared import certificate as certificates
from reel_shared import manifest as manifests
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    BuildDatasetVersionRequest,
    BuildDatasetVersionResult,
)
from reel_shared.db.engine import transact
from reel_shared.db.models import DatasetVersion
from reel_shared.jobs import Outcome
from reel_shared.manifest import ManifestImage
from reel_shared.runner import Context, task
from reel_shared.storage import storage
from reel_trainer import catalogue, versions
from reel_trainer.pins import Pin
from reel_trainer.tasks.fetching import bring_manifest
from reel_trainer.tasks.naming import named_after

Facts = tuple[list[ManifestImage], list[Pin], dict[str, int], DatasetVersion | None]


@task(BUILD_DATASET_VERSION)
def build_dataset_version(context: Context, request: BuildDatasetVersionRequest) -> Outcome:
    """Split the dataset as it stands now, and store its manifest with its certificate."""

    def facts(session: Session) -> Facts:
        base = catalogue.version(session, request.base_version) if request.base_version else None
        return (
            catalogue.pictures(session, request.dataset),
            catalogue.pins(session, request.dataset),
            catalogue.left_out(session, request.dataset),
            base,
        )

    images, pins, left_out, row = transact(facts)
    base = bring_manifest(row, context.scratch / "base.json") if row is not None else None
    context.progress(0, len(images), unit="pictures", message="splitting")
    built = versions.build_dataset_version(images, request, pins=pins, base=base, left_out=left_out)
    context.check()
    manifest, certificate = built.manifest, built.certificate
    stored = storage().put_bytes("manifests", manifests.to_bytes(manifest), "application/json", ".json")
    proof = storage().put_bytes(
        "certificates", certificates.to_bytes(certificate), "application/json", ".json"
    )
    result = BuildDatasetVersionResult(
        dataset_version_id=named_after(context, "dsv"),
        manifest=stored,
        classes=manifest.classes,
        images=manifest.counts(),
        left_out=built.left_out,
        excluded=manifest.excluded(),
        certificate=certificate.summary,
        certificate_file=proof,
    )
    return Outcome(
        result,
        lambda session: catalogue.write_version(
            session,
            result,
            dataset=request.dataset,
            images={image.id for image in manifest.images},
            job_id=context.job_id,
        ),
    )
