"""HTTP for datasets that come in as a whole, as jobs."""

from __future__ import annotations

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reel_ingest.api.forms import submission_schema
from reel_shared.contracts import IMPORT_DATASET, ImportDatasetRequest
from reel_shared.errors import NotFound
from reel_shared.settings import settings
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Submitter
from reel_shared.web.refusals import refuses
from reel_shared.web.requests import large_body
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView
from reel_shared.web.uploads import read_submission, require_stored

router = Router(tags=["ingest"])


class NewImport(ImportDatasetRequest, Submission):
    """The body of `POST /v1/dataset-imports`."""


@router.post(
    "/v1/dataset-imports",
    status_code=202,
    response_model=JobView,
    openapi_extra=submission_schema(NewImport),
)
@large_body(lambda: settings().limits.archive_bytes)
@refuses(NotFound)
async def create_import(request: Request, principal: Submitter) -> Response:
    """Import a dataset: an export of `POST /v1/exports`, image folders, or pictures with a table, as a zip.

    The zip comes as `file` in a form, or lies in storage under `key`.
    """
    body = await read_submission(request, principal, NewImport, families=["archive"])
    await require_stored(body.key)
    return await run_in_threadpool(submit_job, IMPORT_DATASET, body, principal, request)
