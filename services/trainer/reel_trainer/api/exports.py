"""HTTP for taking dataset versions out and comparing them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import JSONResponse, Response

from reel_shared import manifest as manifests
from reel_shared.contracts import EXPORT_DATASET, ExportDatasetRequest, StoredFile, VersionDiff
from reel_shared.db.engine import reading
from reel_shared.db.models import DatasetVersion
from reel_shared.errors import NotFound
from reel_shared.manifest import Manifest
from reel_shared.storage import hasty_storage
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView
from reel_trainer import catalogue
from reel_trainer.diff import diff

router = Router(tags=["dataset versions"])
MANIFEST_BYTES = 2**30


class NewExport(ExportDatasetRequest, Submission):
    """The body of `POST /v1/exports`."""


@router.post("/v1/exports", status_code=202, response_model=JobView)
@refuses(NotFound)
def create_export(body: NewExport, principal: Submitter, request: Request) -> Response:
    """Pack a dataset version as a zip: image folders, Hugging Face metadata, one table, the manifest."""
    return submit_job(
        EXPORT_DATASET,
        body,
        principal,
        request,
        check=lambda session: catalogue.whole_version(session, body.dataset_version_id),
    )


@router.get("/v1/dataset-versions/{version_id}/diff", response_model=VersionDiff)
def diff_dataset_versions(
    version_id: str,
    _principal: Reader,
    base: Annotated[str, Query(description="the version to compare with, mostly an earlier one")],
) -> Response:
    """What changed from one version to another: classes, originals, sides and labels."""
    with reading() as session:
        rows = [catalogue.version(session, name) for name in (base, version_id)]
    before, after = (_manifest(row) for row in rows)  # no connection is held while storage answers
    return JSONResponse(diff(before, after, base_id=base, version_id=version_id).model_dump(mode="json"))


def _manifest(row: DatasetVersion) -> Manifest:
    file = StoredFile.model_validate(row.manifest)
    data = hasty_storage().get_bytes(file.key, max_bytes=MANIFEST_BYTES, sha256=row.manifest_sha256)
    return manifests.load(data, sha256=row.manifest_sha256)
