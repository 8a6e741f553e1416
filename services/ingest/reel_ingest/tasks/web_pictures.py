"""The job `collect_pictures`: pictures out of the web, a zip or a folder, into storage and the database."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime, time

from sqlalchemy.orm import Session

from reel_ingest import admission, catalogue, ledger, pictures
from reel_ingest.connection import Refused
from reel_ingest.ledger import Ledger
from reel_ingest.pictures import Picture, Refusal, Sides
from reel_ingest.sieve import TAKEN_DOWN, Sieve, Verdict
from reel_ingest.tasks.sources import PROVIDERS
from reel_ingest.web_sources import providers
from reel_ingest.web_sources.provider import Candidate, SourceProvider
from reel_ingest.web_sources.searches import Searches, digest, plan
from reel_shared.contracts import (
    COLLECT_PICTURES,
    CollectPicturesRequest,
    CollectPicturesResult,
    Source,
    StoredFile,
)
from reel_shared.db.models import Collection
from reel_shared.ids import new_id
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage


@task(COLLECT_PICTURES)
def collect_pictures(context: Context, request: CollectPicturesRequest) -> Outcome:
    """Store every usable picture that the provider finds, with its licence and maker.

    What becomes of each candidate is written as the job goes; run again, it goes on behind the last one written.
    """
    providers.check(request, settings().ingest)
    provider = PROVIDERS[request.provider](context, request)
    searches = Searches(provider, plan(request))
    candidates = ledger.failures(request.retry_of) if request.retry_of else searches.candidates()
    done = Ledger(context.lease)
    sieve = _sieve(request, done)
    _collect(context, request, provider, candidates, done, sieve)
    result = CollectPicturesResult(
        collection_id=new_id("col"),
        provider=request.provider,
        counts=sieve.counts,
        licences=dict(Counter(row["licence"] or "unknown" for row in done.images())),
        searches=[] if request.retry_of else searches.found,
    )
    _report(context, sieve, len(done), len(done))

    def write(session: Session) -> None:
        collection = _collection(context, request, result.collection_id)
        stored = ledger.stored_images(session, context.job_id)
        rows = ({**row, "collection_id": collection.id} for row in stored)
        admission.write(session, collection, rows, sieve, result.counts)

    return Outcome(result, write)


def _sieve(request: CollectPicturesRequest, done: Ledger) -> Sieve:
    """Return a sieve that has judged what earlier attempts of the job have stored."""
    sieve = admission.open_sieve(
        dataset=request.dataset,
        label=request.label,
        source=Source.WEB,
        near_distance=request.near_distance,
    )
    for reason, times in done.refusals().items():
        sieve.refuse(reason, times)
    for row in done.images():
        _judge(sieve, row)
    return sieve


def _judge(sieve: Sieve, row: ledger.Row) -> Verdict | None:
    first, *also = (int(text, 16) for text in (row["phash"], row["phash_with_bars"]) if text is not None)
    return sieve.judge(row["id"], row["sha256"], first, also=also, quality=row["state_reason"] or None)


def _collect(
    context: Context,
    request: CollectPicturesRequest,
    provider: SourceProvider,
    candidates: Iterable[Candidate],
    done: Ledger,
    sieve: Sieve,
) -> None:
    """Deal with every candidate that an earlier attempt has not dealt with."""
    gone, gone_content = ledger.taken_down(), catalogue.taken_down()
    known = provider.count()
    total = None if known is None or request.retry_of else min(known, request.limit)

    def fetch(candidate: Candidate) -> bytes:
        if {digest(candidate.url), digest(candidate.page_url)} & gone:
            raise Refused(TAKEN_DOWN, "The picture was taken down and is not fetched again.")
        return provider.fetch(candidate)

    def store(data: bytes, media_type: str) -> StoredFile:
        if hashlib.sha256(data).hexdigest() in gone_content:
            raise Refused(TAKEN_DOWN, "The picture was taken down and is not stored again.")
        return storage().put_bytes("pictures", data, media_type, "." + media_type.rpartition("/")[2])

    found = pictures.collect_pictures(
        (candidate for candidate in candidates if not done.has(candidate.url)),
        fetch=fetch,
        store=store,
        max_pixels=settings().limits.picture_pixels,
        checks=request.quality_checks,
        sides=Sides(request.min_side, request.max_side),
    )
    try:
        with closing(found):
            for candidate, outcome in found:
                _note(request, sieve, done, candidate, outcome)
                _report(context, sieve, len(done), total)
    finally:
        done.flush()


def _note(
    request: CollectPicturesRequest,
    sieve: Sieve,
    done: Ledger,
    candidate: Candidate,
    outcome: Picture | Refusal,
) -> None:
    """Judge one outcome and write it down."""
    if isinstance(outcome, Refusal):
        sieve.refuse(outcome.reason)
        done.refuse(candidate, outcome.reason, transient=outcome.transient)
        return
    row = ledger.image_row(request, candidate, outcome, job_id=done.job_id)
    if _judge(sieve, row) is None:
        done.refuse(candidate, TAKEN_DOWN)
    else:
        done.store(candidate, row)


def _report(context: Context, sieve: Sieve, done: int, total: int | None) -> None:
    context.progress(done, total, unit="pictures", message=f"{sieve.counts.kept} pictures kept")


def _collection(context: Context, request: CollectPicturesRequest, collection_id: str) -> Collection:
    styles = request.styles or [request.style]
    probes = {request.probe_of(style) for style in styles}
    return Collection(
        id=collection_id,
        dataset=request.dataset,
        label=request.label,
        provider=request.provider,
        query=request.query,
        style=styles[0] if len(styles) == 1 else "",
        styles=styles if len(styles) > 1 else [],
        since=_midnight(request.since),
        until=_midnight(request.until),
        probe=probes.pop() if len(probes) == 1 else "",
        job_id=context.job_id,
    )


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, UTC)
