"""The candidates that a job has dealt with, written to the database as it goes; called by tasks.

A job that is run again goes on where it was, and the failures that may pass can be tried again by another job.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_ingest.pictures import Picture
from reel_ingest.web_sources.provider import Candidate
from reel_ingest.web_sources.searches import Digest, digest
from reel_shared import jobs
from reel_shared.contracts import Source, Variant
from reel_shared.db.engine import reading, transact
from reel_shared.db.models import Candidate as CandidateRow
from reel_shared.db.models import Collection, Takedown
from reel_shared.ids import new_id
from reel_shared.jobs import Lease

Row = dict[str, Any]
BATCH = 100
"""Candidates written in one transaction."""
BATCH_SECONDS = 1.0
PAGE = 500
"""Rows read at a time, so that memory does not grow with the number of pictures."""


class Ledger:
    """What became of each candidate of one job, in the order they were dealt with.

    A picture's row is that of ``image_row``; it lacks its collection, which is not there yet.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._batch: list[Row] = []
        self._written = time.monotonic()
        with reading() as session:
            found = session.scalars(
                sa.select(CandidateRow.url_sha256)
                .filter_by(job_id=lease.job_id)
                .execution_options(yield_per=PAGE)
            )
            self._done: set[Digest] = {bytes.fromhex(text) for text in found}

    @property
    def job_id(self) -> str:
        return self._lease.job_id

    def __len__(self) -> int:
        return len(self._done)

    def has(self, url: str) -> bool:
        return digest(url) in self._done

    def store(self, candidate: Candidate, image: Row) -> None:
        """Note a candidate that was stored, with the row of its picture."""
        self._add(candidate, picture={"image": _plain(image)})

    def refuse(self, candidate: Candidate, reason: str, *, transient: bool = False) -> None:
        """Note a candidate that was not stored; of a failure that may pass all is kept that another try needs."""
        picture = {"candidate": _plain(asdict(candidate))} if transient else None
        self._add(candidate, reason=reason, transient=transient, picture=picture)

    def flush(self) -> None:
        """Write what is still in memory. Raises ``LeaseLost`` when another worker has the job."""
        batch, self._batch = self._batch, []
        self._written = time.monotonic()
        if batch:
            transact(lambda session: self._write(session, batch))

    def images(self) -> Iterator[Row]:
        """Yield the rows of all pictures stored so far, earlier attempts' first."""
        self.flush()
        with reading() as session:
            yield from stored_images(session, self.job_id)

    def refusals(self) -> dict[str, int]:
        """Return how many were refused, by reason."""
        self.flush()
        with reading() as session:
            query = (
                sa.select(CandidateRow.reason, sa.func.count())
                .where(CandidateRow.job_id == self._lease.job_id, CandidateRow.reason != "")
                .group_by(CandidateRow.reason)
                .order_by(CandidateRow.reason)
            )
            return dict(iter(session.execute(query)))

    def _add(self, candidate: Candidate, **fields: Any) -> None:
        name = digest(candidate.url)
        self._done.add(name)
        row = {"job_id": self._lease.job_id, "url": candidate.url, "url_sha256": name.hex()}
        self._batch.append({**row, "reason": "", "transient": False, **fields})
        if len(self._batch) >= BATCH or time.monotonic() - self._written >= BATCH_SECONDS:
            self.flush()

    def _write(self, session: Session, batch: list[Row]) -> None:
        jobs.heartbeat(session, self._lease)  # a worker that has lost the job writes nothing more
        session.execute(sa.insert(CandidateRow), batch)


def image_row(
    candidate: Candidate, picture: Picture, *, dataset: str, label: str, probe: str, job_id: str
) -> Row:
    """Return the row that a web picture will get once its collection stands.

    ``state_reason`` is the check that it fails, if any.
    """
    return {
        "id": new_id("img"),
        "dataset": dataset,
        "label": label,
        "source": Source.WEB,
        "variant": Variant.ORIGINAL,
        "key": picture.file.key,
        "sha256": picture.file.sha256,
        "media_type": picture.file.media_type,
        "size": picture.file.size,
        "width": picture.width,
        "height": picture.height,
        "phash": f"{picture.phash:016x}",
        "phash_with_bars": None if picture.phash_with_bars is None else f"{picture.phash_with_bars:016x}",
        "quality": picture.quality,
        "state_reason": picture.refusal or "",
        "probe": probe,
        "style": candidate.style,
        "title": candidate.title[:300],
        "creator": candidate.creator[:300],
        "licence": candidate.licence[:100],
        "licence_url": candidate.licence_url,
        "attribution": candidate.attribution,
        "page_url": candidate.page_url,
        "url": candidate.url,
        "provider": candidate.provider,
        "taken_at": candidate.taken_at,
        "job_id": job_id,
    }


def stored_images(session: Session, job_id: str) -> Iterator[Row]:
    """Yield the rows of a job's stored pictures, in the caller's transaction and in the order they were stored."""
    return (image for _, image in stored(session, job_id))


def stored(session: Session, job_id: str) -> Iterator[tuple[str, Row]]:
    """Yield the same with the address of each picture's candidate before it."""
    for row in _rows(session, CandidateRow.job_id == job_id, CandidateRow.reason == ""):
        image = (row.picture or {})["image"]
        yield row.url, {**image, "taken_at": _moment(image["taken_at"])}


def failures(collection_id: str) -> list[Candidate]:
    """Return the candidates of a collection that failed for a while only."""
    with reading() as session:
        job_id = session.scalar(sa.select(Collection.job_id).filter_by(id=collection_id))
        rows = _rows(session, CandidateRow.job_id == job_id, CandidateRow.transient.is_(True))
        return [_candidate((row.picture or {})["candidate"]) for row in rows]


def taken_down() -> set[Digest]:
    """Return the addresses, of pictures and of the pages that were named, that nothing is fetched from any more."""
    with reading() as session:
        query = sa.select(Takedown.url, Takedown.page_url).execution_options(yield_per=PAGE)
        return {digest(text) for row in session.execute(query) for text in row if text}


def _rows(session: Session, *conditions: sa.ColumnElement[bool]) -> Iterator[CandidateRow]:
    last = 0
    while True:
        query = sa.select(CandidateRow).where(*conditions, CandidateRow.id > last).order_by(CandidateRow.id)
        page = list(session.scalars(query.limit(PAGE)))
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1].id
        for row in page:
            session.expunge(row)


def _candidate(fields: Row) -> Candidate:
    return Candidate(**{**fields, "taken_at": _moment(fields["taken_at"])})


def _plain(fields: Row) -> Row:
    """Make a row fit for JSON."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
