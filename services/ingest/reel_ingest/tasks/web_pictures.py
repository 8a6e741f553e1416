"""The job `collect_pictures`: pictures out of the web, a zip or a folder, into storage and the database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time

from sqlalchemy.orm import Session

from reel_ingest import admission, ledger
from reel_ingest.ledger import Ledger, Row
from reel_ingest.pictures import Picture, Sides
from reel_ingest.tasks.gathering import catch_up, gather, report
from reel_ingest.tasks.sources import PROVIDERS
from reel_ingest.web_sources import providers
from reel_ingest.web_sources.provider import Candidate
from reel_ingest.web_sources.searches import Searches, plan
from reel_shared.contracts import COLLECT_PICTURES, CollectPicturesRequest, CollectPicturesResult, Source
from reel_shared.db.models import Collection
from reel_shared.ids import new_id
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings

OVER_LIMIT = "over-limit"
"""What the request's limit leaves out of what was given: counted, and not noted one by one."""


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
    sieve = admission.open_sieve(
        dataset=request.dataset,
        label=request.label,
        source=Source.WEB,
        near_distance=request.near_distance,
    )
    catch_up(sieve, done)
    known = provider.count()

    def row_of(candidate: Candidate, picture: Picture) -> Row:
        return ledger.image_row(
            candidate,
            picture,
            dataset=request.dataset,
            label=request.label,
            probe=request.probe_of(candidate.style),
            job_id=context.job_id,
        )

    gather(
        context,
        candidates,
        fetch=provider.fetch,
        row_of=row_of,
        sieve=sieve,
        done=done,
        checks=request.quality_checks,
        sides=Sides(request.min_side, request.max_side),
        total=None if known is None or request.retry_of else min(known, request.candidates),
    )
    if searches.over_limit:
        sieve.refuse(OVER_LIMIT, searches.over_limit)
    result = CollectPicturesResult(
        collection_id=new_id("col"),
        provider=request.provider,
        counts=sieve.counts,
        licences=dict(Counter(row["licence"] or "unknown" for row in done.images())),
        searches=[] if request.retry_of else searches.found,
    )
    report(context, sieve, len(done), len(done))

    def write(session: Session) -> None:
        collection = _collection(context, request, result.collection_id)
        stored = ledger.stored_images(session, context.job_id)
        rows = ({**row, "collection_id": collection.id} for row in stored)
        admission.write(session, collection, rows, sieve, result.counts)

    return Outcome(result, write)


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
