"""How pictures come into a dataset: what the sieve must know, and the rows in their states; called by the tasks.

Pictures are judged while they come, and once more in the transaction that finishes the job, against what other jobs
have stored meanwhile. These transactions go one after the other in each dataset, so that two jobs which store the same
picture at once end as they would have one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from reel_ingest import changes
from reel_ingest.sieve import CONFLICT, EXACT, INVERTED, NEAR, Known, Settlement, Sieve, TakenDown, Verdict
from reel_shared.contracts import Counts, ImageState, QualityChecks, Source, Variant
from reel_shared.db import locks
from reel_shared.db.engine import transact
from reel_shared.db.inserts import insert
from reel_shared.db.models import Collection, Image, Movie, Takedown
from reel_shared.errors import Conflict
from reel_shared.leftovers import delete_unneeded

log = structlog.get_logger(__name__)
Row = dict[str, Any]

QUALITY_REASONS = frozenset(name.replace("_", "-") for name in QualityChecks.model_fields)
_ROUNDS = 3
CHUNK = 500
"""Rows in one statement."""


def open_sieve(
    *, dataset: str, label: str, source: Source, near_distance: int, own_distance: int | None = None
) -> Sieve:
    """Return a sieve that knows the dataset as it stands, and every picture that was taken down anywhere."""
    known, gone = transact(lambda session: (known_pictures(session, dataset), taken_down(session)))
    return Sieve(
        label=label,
        source=source,
        near_distance=near_distance,
        own_distance=own_distance,
        known=known,
        taken_down=gone,
    )


def known_pictures(session: Session, dataset: str) -> list[Known]:
    """Return the originals that new pictures are compared with, the oldest first.

    Active and quarantined ones, and those that a person has put aside: what a check rejected or found to be a
    duplicate is found again by the check.
    """
    by_person = sa.or_(
        sa.and_(Image.state == ImageState.REJECTED, Image.state_reason.not_in(QUALITY_REASONS)),
        sa.and_(Image.state == ImageState.DUPLICATE, Image.state_reason.not_in((EXACT, NEAR, INVERTED))),
    )
    stands = Image.state.in_((ImageState.ACTIVE, ImageState.QUARANTINED))
    columns = (
        Image.id,
        Image.label,
        Image.source,
        Image.sha256,
        Image.phash,
        Image.state,
        Image.duplicate_of,
        Image.phash_with_bars,
    )
    query = sa.select(*columns).where(
        Image.dataset == dataset, Image.variant == Variant.ORIGINAL, sa.or_(stands, by_person)
    )
    rows = session.execute(query.order_by(Image.id)).all()
    return [
        Known(*row[:4], int(row.phash, 16), row.state, row.duplicate_of, _hashes(row.phash_with_bars))
        for row in rows
    ]


def _hashes(text: str | None) -> tuple[int, ...]:
    return () if text is None else (int(text, 16),)


def taken_down(session: Session) -> list[TakenDown]:
    rows = session.execute(sa.select(Takedown.sha256, Takedown.phash).order_by(Takedown.id)).all()
    return [TakenDown(row.sha256, int(row.phash, 16)) for row in rows]


def write(
    session: Session, parent: Movie | Collection, rows: Iterable[Row], sieve: Sieve, counts: Counts
) -> None:
    """Add a movie or a collection with its pictures, each in its state.

    ``rows`` are of the pictures that the sieve has judged. ``counts`` and the parent's are set to what came of it;
    older pictures in doubt are quarantined by a change that can be undone.
    """
    session.add(parent)
    admit(session, parent.dataset, rows, sieve, counts, by=parent.job_id)
    parent.counts = counts.model_dump(mode="json")


def admit(
    session: Session, dataset: str, rows: Iterable[Row], sieve: Sieve, counts: Counts, *, by: str
) -> Mapping[str, Verdict]:
    """Add pictures, each in its state, and return the verdicts by id; movies and collections are the caller's.

    What was taken down while the job ran may have come back to storage behind its take-down: its files go again, once
    the transaction is committed.

    Args:
        rows: of all pictures that the job may have stored, those that the sieve refused too.
        by: the job that adds them.
    """
    enter(session, dataset)
    session.flush()
    # No take-down runs until this transaction ends.
    unwanted, came_back = {one.sha256 for one in taken_down(session)}, set[str]()
    waiting: Iterable[Row] = _noting(rows, unwanted, came_back)
    for _ in range(_ROUNDS):
        known = known_pictures(session, dataset)
        newcomers = [one for one in known if one.id not in sieve.known_ids]
        settlement = sieve.settle(newcomers, taken_down(session))
        _quarantine(session, settlement.contested, by=by)
        waiting = [row for chunk in _chunks(waiting) for row in _insert(session, chunk, settlement)]
        if not waiting:
            break
        # A person has just made the same bytes active again; the next round sees them.
    else:
        raise Conflict("The same pictures are changed over and over meanwhile; run the job again.")
    for name in Counts.model_fields:
        setattr(counts, name, getattr(settlement.counts, name))
    delete_unneeded(session, came_back)
    return settlement.verdicts


def _noting(rows: Iterable[Row], unwanted: Set[str], keys: set[str]) -> Iterator[Row]:
    """Pass rows on, and add to ``keys`` the files of those whose bytes are unwanted."""
    for row in rows:
        if row["sha256"] in unwanted:
            keys.add(row["key"])
        yield row


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while chunk := list(islice(source, CHUNK)):
        yield chunk


def enter(session: Session, dataset: str) -> None:
    """Wait until no other job brings pictures into the dataset and no take-down runs; repeating it changes nothing."""
    with session.no_autoflush:
        locks.hold_off_removals(session)
        locks.one_after_the_other(session, dataset)


def _quarantine(session: Session, contested: Mapping[str, str | None], *, by: str) -> None:
    """Set older pictures aside as conflicts, where they still are active."""
    edits = [
        changes.edit(
            one,
            state=ImageState.QUARANTINED.value,
            state_reason=CONFLICT,
            duplicate_of=contested[one.id],
        )
        for one in changes.named(session, contested)
        if one.state == ImageState.ACTIVE
    ]
    if edits:
        changes.write(session, edits, by=by)
        log.info("images.conflicts", job=by, count=len(edits))


def _insert(session: Session, rows: Sequence[Row], settlement: Settlement) -> list[Row]:
    """Add rows in their states and return those that have active twins and could not be added."""
    wanted = [row for row in rows if row["id"] in settlement.verdicts]
    if not wanted:
        return []
    values = [_values(row, settlement.verdicts[row["id"]]) for row in wanted]
    add = insert(session, Image.__table__).on_conflict_do_nothing().returning(Image.id)
    added = set(session.scalars(add, values))
    return [row for row in wanted if row["id"] not in added]


def _values(row: Row, verdict: Verdict) -> Row:
    state = {
        "state": verdict.state.value,
        "state_reason": verdict.reason,
        "duplicate_of": verdict.duplicate_of,
    }
    return {**row, **state}
