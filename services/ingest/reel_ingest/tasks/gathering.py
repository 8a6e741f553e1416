"""Candidates fetched, judged and written down one by one, so that a job goes on where it was; called by the tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import closing

from reel_ingest import catalogue, ledger, pictures
from reel_ingest.ledger import Ledger, Row
from reel_ingest.pictures import Picture, Refusal, Sides
from reel_ingest.sieve import TAKEN_DOWN, Sieve, Verdict
from reel_ingest.web_sources.provider import Candidate
from reel_ingest.web_sources.searches import digest
from reel_shared.connection import Refused
from reel_shared.contracts import QualityChecks, Source, StoredFile
from reel_shared.runner import Context
from reel_shared.settings import settings
from reel_shared.storage import storage


def catch_up(sieve: Sieve, done: Ledger) -> None:
    """Let the sieve judge what earlier attempts of the job have stored and refused."""
    for reason, times in done.refusals().items():
        sieve.refuse(reason, times)
    for row in done.images():
        _judge(sieve, row)


def gather(
    context: Context,
    candidates: Iterable[Candidate],
    *,
    fetch: Callable[[Candidate], bytes],
    row_of: Callable[[Candidate, Picture], Row],
    sieve: Sieve,
    done: Ledger,
    checks: QualityChecks,
    sides: Sides | None = None,
    total: int | None = None,
    addresses: Callable[[Candidate], Iterable[str]] = lambda candidate: (candidate.url, candidate.page_url),
) -> None:
    """Deal with every candidate that an earlier attempt has not dealt with: store it, or note why not.

    Args:
        row_of: the row that a picture is stored with, once what it belongs to stands.
        total: how many candidates there are, where that is known.
        addresses: of a candidate and of its page; those of pictures that were taken down are not fetched.
    """
    gone, gone_content = ledger.taken_down(), catalogue.taken_down()

    def load(candidate: Candidate) -> bytes:
        if any(digest(address) in gone for address in addresses(candidate)):
            raise Refused(TAKEN_DOWN, "The picture was taken down and is not fetched again.")
        return fetch(candidate)

    def store(data: bytes, media_type: str) -> StoredFile:
        if hashlib.sha256(data).hexdigest() in gone_content:
            raise Refused(TAKEN_DOWN, "The picture was taken down and is not stored again.")
        return storage().put_bytes("pictures", data, media_type, "." + media_type.rpartition("/")[2])

    found = pictures.collect_pictures(
        (candidate for candidate in candidates if not done.has(candidate.url)),
        fetch=load,
        store=store,
        max_pixels=settings().limits.picture_pixels,
        checks=checks,
        sides=sides,
    )
    try:
        with closing(found):
            for candidate, outcome in found:
                _note(sieve, done, candidate, outcome, row_of)
                report(context, sieve, len(done), total)
    finally:
        done.flush()


def report(context: Context, sieve: Sieve, done: int, total: int | None) -> None:
    context.progress(done, total, unit="pictures", message=f"{sieve.counts.kept} pictures kept")


def _note(
    sieve: Sieve,
    done: Ledger,
    candidate: Candidate,
    outcome: Picture | Refusal,
    row_of: Callable[[Candidate, Picture], Row],
) -> None:
    """Judge one outcome and write it down."""
    if isinstance(outcome, Refusal):
        sieve.refuse(outcome.reason)
        done.refuse(candidate, outcome.reason, transient=outcome.transient)
        return
    row = row_of(candidate, outcome)
    if _judge(sieve, row) is None:
        done.refuse(candidate, TAKEN_DOWN)
    else:
        done.store(candidate, row)


def _judge(sieve: Sieve, row: Row) -> Verdict | None:
    first, *also = (int(text, 16) for text in (row["phash"], row["phash_with_bars"]) if text is not None)
    return sieve.judge(
        row["id"],
        row["sha256"],
        first,
        also=also,
        quality=row["state_reason"] or None,
        label=row["label"],
        source=Source(row["source"]),
    )
