"""The job `import_dataset`: a zip of pictures, with folders or tables that say what they are, into a dataset."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_ingest import admission, ledger
from reel_ingest.duplicates import distance
from reel_ingest.imported_films import film_ids, film_of, write_films
from reel_ingest.imported_sides import write_pins
from reel_ingest.imports.plan import Entry, Plan, plan_import
from reel_ingest.ledger import Ledger, Row
from reel_ingest.pictures import Picture
from reel_ingest.tasks.gathering import catch_up, gather, report
from reel_ingest.web_sources.archive import Archive
from reel_ingest.web_sources.provider import Candidate
from reel_shared.connection import Refused
from reel_shared.contracts import (
    IMPORT_DATASET,
    Counts,
    ImageState,
    ImportDatasetRequest,
    ImportDatasetResult,
    QualityChecks,
    Source,
    Variant,
)
from reel_shared.db.engine import transact
from reel_shared.db.models import Collection, Image
from reel_shared.ids import new_id
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

PROVIDER = "import"
ALREADY_THERE, WRONG_HASH = "already-there", "wrong-hash"
_SAME_BITS = 6
"""How far a table's pHash may lie from the one measured here: a frame was hashed before it became a JPEG."""
_SAME_BYTES_ONLY = -1


@task(IMPORT_DATASET)
def import_dataset(context: Context, request: ImportDatasetRequest) -> Outcome:
    """Store every picture of the archive that the dataset lacks, with class, origin and side.

    What becomes of each is written as the job goes; run again, it goes on behind the last one written.
    """
    limits = settings().limits
    path = storage().get_file(request.key, context.scratch / "dataset.zip", max_bytes=limits.archive_bytes)
    archive = Archive(
        path,
        picture_bytes=limits.picture_bytes,
        members=limits.dataset_members,
        total_bytes=limits.archive_bytes,
    )
    plan = plan_import(archive)
    job = _Import(context, request, archive, plan)
    job.run()
    return job.outcome()


class _Import:
    """One run of the job."""

    def __init__(self, context: Context, request: ImportDatasetRequest, archive: Archive, plan: Plan) -> None:
        self._context, self._request, self._archive, self._plan = context, request, archive, plan
        self._entries = {entry.member: entry for entry in plan.entries}
        self._refused = dict(plan.refused)
        self._films = film_ids(request.dataset, plan.entries)
        self._done = Ledger(context.lease)
        self._there = _held(request.dataset)
        trusted = plan.own_export and not request.recheck
        off = dict.fromkeys(QualityChecks.model_fields)
        self._checks = QualityChecks.model_validate(off) if trusted else request.quality_checks
        self._sieve = admission.open_sieve(
            dataset=request.dataset,
            label="",
            source=Source.WEB,
            near_distance=request.near_distance,
            own_distance=_SAME_BYTES_ONLY if trusted else None,
        )

    def run(self) -> None:
        catch_up(self._sieve, self._done)
        gather(
            self._context,
            self._candidates(),
            fetch=self._fetch,
            row_of=self._row,
            sieve=self._sieve,
            done=self._done,
            checks=self._checks,
            total=len(self._entries) + len(self._refused),
            addresses=self._addresses,
        )
        report(self._context, self._sieve, len(self._done), len(self._done))

    def outcome(self) -> Outcome:
        plan = self._plan
        licences: Counter[str] = Counter()
        web = False
        for row in self._done.images():
            licences[row["licence"] or "unknown"] += 1
            web = web or row["movie_id"] is None
        result = ImportDatasetResult(
            own_export=plan.own_export,
            collection_id=new_id("col") if web else None,
            movie_ids=[],
            counts=Counts(),
            classes={},
            sides={},
            pins=0,
            variants_left_out=plan.variants_left_out,
            licences=dict(licences),
            renamed=plan.renamed,
            notes=list(plan.notes),
        )
        return Outcome(result, lambda session: self._write(session, result))

    def _candidates(self) -> Iterator[Candidate]:
        for member in self._refused:
            yield Candidate(member, PROVIDER)
        for entry in self._plan.entries:
            yield self._candidate(entry)

    def _candidate(self, entry: Entry) -> Candidate:
        facts, request = entry.facts, self._request
        return Candidate(
            entry.member,
            (facts.provider or PROVIDER)[:32],
            title=facts.title,
            creator=facts.creator,
            licence=facts.licence or request.licence,
            licence_url=facts.licence_url,
            attribution=facts.attribution or request.attribution,
            page_url=facts.page_url,
            taken_at=facts.taken_at,
            style=(request.style if facts.style is None else facts.style)[:40],
        )

    def _addresses(self, candidate: Candidate) -> tuple[str, ...]:
        entry = self._entries.get(candidate.url)
        return () if entry is None else (entry.facts.url, entry.facts.page_url)

    def _fetch(self, candidate: Candidate) -> bytes:
        """Raises ``Refused``, also for what the dataset has already or what is not what its table says."""
        reason = self._refused.get(candidate.url)
        if reason is not None:
            raise Refused(reason, f"{candidate.url[:100]!r} gives no picture.")
        entry = self._entries[candidate.url]
        data = self._archive.fetch(candidate)
        sha256 = hashlib.sha256(data).hexdigest()
        if entry.facts.sha256 not in ("", sha256):
            raise Refused(WRONG_HASH, f"{candidate.url[:100]!r} is not the file that its table speaks of.")
        if (sha256, entry.label) in self._there:
            raise Refused(ALREADY_THERE, "The dataset holds this picture.")
        return data

    def _row(self, candidate: Candidate, picture: Picture) -> Row:
        entry = self._entries[candidate.url]
        facts, film = entry.facts, film_of(entry)
        row = ledger.image_row(
            candidate,
            picture,
            dataset=self._request.dataset,
            label=entry.label,
            probe=entry.probe,
            job_id=self._context.job_id,
        )
        measured = picture.phash
        if film is not None:  # a frame is hashed whole: the film's borders are cut already
            measured = picture.phash if picture.phash_with_bars is None else picture.phash_with_bars
        same = facts.phash is not None and distance(facts.phash, measured) <= _SAME_BITS
        found = facts.phash if facts.phash is not None and same else measured
        return {
            **row,
            "source": Source.WEB if film is None else Source.MOVIE,
            "phash": f"{found:016x}",
            "phash_with_bars": row["phash_with_bars"] if film is None else None,
            "url": facts.url,
            "style": row["style"] if film is None else "",
            "provider": row["provider"] if film is None else "",
            "movie_id": None if film is None else self._films[film],
            "collection_id": None,
            **{
                name: None if film is None else getattr(facts, name)
                for name in ("scene", "frame_index", "pts", "time_seconds")
            },
        }

    def _write(self, session: Session, result: ImportDatasetResult) -> None:
        request, job_id = self._request, self._context.job_id
        # Before the films: another import may be adding the same ones.
        admission.enter(session, request.dataset)
        result.movie_ids = write_films(
            session,
            ledger.stored_images(session, job_id),
            dataset=request.dataset,
            key=request.key,
            job_id=job_id,
        )
        collection = self._collection(session, result.collection_id)
        rows = (
            {**row, "collection_id": result.collection_id if row["movie_id"] is None else None}
            for row in ledger.stored_images(session, job_id)
        )
        verdicts = admission.admit(session, request.dataset, rows, self._sieve, result.counts, by=job_id)
        if collection is not None:
            collection.counts = result.counts.model_dump(mode="json")
        kept = [
            (member, row)
            for member, row in ledger.stored(session, job_id)
            if row["id"] in verdicts and verdicts[row["id"]].state == ImageState.ACTIVE
        ]
        result.classes = _counted(row["label"] for _, row in kept)
        result.sides = _counted(self._place(member) for member, _ in kept)
        if request.keep_sides:
            sides = {row["id"]: side for member, row in kept if (side := self._entries[member].side)}
            result.pins, torn = write_pins(session, sides, dataset=request.dataset, by=job_id)
            if torn:
                result.notes = [
                    *self._plan.notes,
                    f"{torn} groups of pictures that hang together by scene, web page or likeness would lie on both "
                    "sides; they are not pinned, and the next version puts each of them on one side.",
                ]

    def _place(self, member: str) -> str:
        entry = self._entries[member]
        return f"probe-{entry.probe}" if entry.probe else entry.side

    def _collection(self, session: Session, collection_id: str | None) -> Collection | None:
        if collection_id is None:
            return None
        labels, styles, probes = set(), set(), set()
        for row in ledger.stored_images(session, self._context.job_id):
            if row["movie_id"] is None:
                labels.add(row["label"])
                styles.add(row["style"])
                probes.add(row["probe"])
        collection = Collection(
            id=collection_id,
            dataset=self._request.dataset,
            label=labels.pop() if len(labels) == 1 else "",
            provider=PROVIDER,
            style=styles.pop() if len(styles) == 1 else "",
            styles=sorted(styles) if len(styles) > 1 else [],
            probe=probes.pop() if len(probes) == 1 else "",
            job_id=self._context.job_id,
        )
        session.add(collection)
        return collection


def _counted(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _held(dataset: str) -> set[tuple[str, str]]:
    """Return bytes and class of every original that the dataset has, whatever its state."""

    def read(session: Session) -> set[tuple[str, str]]:
        query = sa.select(Image.sha256, Image.label).where(
            Image.dataset == dataset, Image.variant == Variant.ORIGINAL
        )
        return {(row.sha256, row.label) for row in session.execute(query)}

    return transact(read)
