"""HTTP for web collections: they come in as jobs, are listed, say what they refused, and try failures again."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from reel_ingest import refusals
from reel_ingest.api.forms import submission_schema
from reel_ingest.views import CollectionView, collection_view
from reel_ingest.web_sources import providers
from reel_shared.contracts import COLLECT_PICTURES, CollectPicturesRequest
from reel_shared.db.engine import reading
from reel_shared.db.models import Collection, Job
from reel_shared.errors import Conflict, NotFound, Unprocessable
from reel_shared.settings import settings
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.refusals import refuses
from reel_shared.web.requests import large_body
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView, Page
from reel_shared.web.uploads import read_submission, require_stored

router = Router(tags=["ingest"])


class NewCollection(CollectPicturesRequest, Submission):
    """The body of `POST /v1/web-collections`."""


@router.post(
    "/v1/web-collections",
    status_code=202,
    response_model=JobView,
    openapi_extra=submission_schema(NewCollection),
)
@large_body(lambda: settings().limits.archive_bytes)
@refuses(NotFound)
async def create_collection(request: Request, principal: Submitter) -> Response:
    """Collect pictures of a class: from a search, a list of addresses, an S3 prefix, or a zip file.

    The zip comes as `file` in a form, or lies in storage under `key`.
    """
    body = await read_submission(request, principal, NewCollection, families=["archive"])
    if body.retry_of is not None:
        raise Unprocessable("Try failures again with POST /v1/web-collections/{id}/retry, not with retry_of.")
    providers.check(body, settings().ingest)
    if body.key is not None:
        await require_stored(body.key)
    return await run_in_threadpool(submit_job, COLLECT_PICTURES, body, principal, request)


@router.post("/v1/web-collections/{collection_id}/retry", status_code=202, response_model=JobView)
def retry_collection(collection_id: str, request: Request, principal: Submitter) -> Response:
    """Fetch again what failed in this collection for a while only, such as timeouts, 429 and 5xx; a new job.

    What is found makes a collection of its own. 409 when nothing failed that way.
    """
    with reading() as session:
        collection = _collection(session, collection_id)
        if not refusals.has_transient(session, collection):
            raise Conflict(
                f"Nothing in {collection_id} failed for a while only; there is nothing to try again."
            )
        job = session.get_one(Job, collection.job_id)
        body = CollectPicturesRequest.model_validate({**job.request, "retry_of": collection_id})
    providers.check(body, settings().ingest)
    return submit_job(COLLECT_PICTURES, body, principal, request)


@router.get("/v1/web-collections", response_model=Page[CollectionView])
def list_collections(
    _principal: Reader,
    dataset: str | None = None,
    label: str | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """What was collected from the web, the newest first."""
    wanted = listing(cursor, limit, dataset=dataset, label=label)
    with reading() as session:
        query = sa.select(Collection).filter_by(**wanted.filters)
        return JSONResponse(wanted.page(session, query, Collection, collection_view))


@router.get("/v1/web-collections/{collection_id}", response_model=CollectionView)
def get_collection(collection_id: str, _principal: Reader) -> Response:
    """One collection, with what became of its candidates."""
    with reading() as session:
        return JSONResponse(collection_view(_collection(session, collection_id)))


@router.get("/v1/web-collections/{collection_id}/refusals", response_model=Page[refusals.RefusalView])
def list_refusals(
    collection_id: str,
    _principal: Reader,
    reason: str | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """The candidates of a collection that were not stored, and why, in the order they were met."""
    with reading() as session:
        collection = _collection(session, collection_id)
        return JSONResponse(refusals.page(session, collection, reason=reason, cursor=cursor, limit=limit))


def _collection(session: Session, collection_id: str) -> Collection:
    collection = session.get(Collection, collection_id)
    if collection is None:
        raise NotFound(f"There is no web collection {collection_id}.")
    return collection
