"""HTTP for dataset versions: they are built by jobs, and can be seen."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from reel_shared.certificate import MAX_BYTES, LeakCertificate, verify
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    BuildDatasetVersionRequest,
    StoredFile,
)
from reel_shared.db.engine import reading
from reel_shared.db.models import DatasetVersion, Image
from reel_shared.errors import NotFound, Unprocessable
from reel_shared.storage import hasty_storage
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView, Page
from reel_trainer import catalogue
from reel_trainer.views import (
    DatasetVersionView,
    version_view,
)

router = Router()


class NewDatasetVersion(BuildDatasetVersionRequest, Submission):
    """The body of `POST /v1/dataset-versions`."""


@router.post("/v1/dataset-versions", status_code=202, response_model=JobView, tags=["dataset versions"])
@refuses(NotFound)
def create_dataset_version(body: NewDatasetVersion, principal: Submitter, request: Request) -> Response:
    """Split a dataset as it stands into train and validation, whole scenes and lineages on one side."""

    def check(session: Session) -> None:
        query = sa.select(Image.id).where(Image.dataset == body.dataset).limit(1)
        if session.scalar(query) is None:
            raise Unprocessable(
                f"Dataset {body.dataset!r} has no pictures yet; ingest films or web pictures first."
            )
        if body.base_version is not None:
            base = catalogue.version(session, body.base_version)
            if base.dataset != body.dataset:
                raise Unprocessable(
                    f"{base.id} is a version of the dataset {base.dataset!r}, not of {body.dataset!r}."
                )

    return submit_job(BUILD_DATASET_VERSION, body, principal, request, check=check)


@router.get("/v1/dataset-versions", response_model=Page[DatasetVersionView], tags=["dataset versions"])
def list_dataset_versions(
    _principal: Reader, dataset: str | None = None, cursor: Cursor = None, limit: Limit = None
) -> Response:
    """Dataset versions, the newest first."""
    wanted = listing(cursor, limit, dataset=dataset)
    with reading() as session:
        query = sa.select(DatasetVersion).filter_by(**wanted.filters)
        return JSONResponse(wanted.page(session, query, DatasetVersion, version_view))


@router.get("/v1/dataset-versions/{version_id}", response_model=DatasetVersionView, tags=["dataset versions"])
def get_dataset_version(version_id: str, _principal: Reader) -> Response:
    """One dataset version: its counts, its certificate and a link to its manifest."""
    with reading() as session:
        return JSONResponse(version_view(catalogue.version(session, version_id)))


@router.get(
    "/v1/dataset-versions/{version_id}/certificate", response_model=LeakCertificate, tags=["dataset versions"]
)
def get_leak_certificate(version_id: str, _principal: Reader) -> Response:
    """The leak certificate at full length: every held-out picture with its nearest training neighbours, the
    worst pairs, the signature `sha256`."""
    with reading() as session:
        row = catalogue.version(session, version_id)
        stored, manifest_sha256 = row.certificate_file, row.manifest_sha256
    if stored is None:
        raise NotFound(
            f"{version_id} was built before whole certificates were stored; build a new version to get one."
        )
    file = StoredFile.model_validate(stored)
    data = hasty_storage().get_bytes(file.key, max_bytes=MAX_BYTES, sha256=file.sha256)
    verify(data, manifest_sha256=manifest_sha256)
    return Response(data, media_type="application/json", headers={"ETag": f'"{file.sha256}"'})
