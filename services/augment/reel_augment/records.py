"""Variants as rows of ``images``: what they have from their original, and which of them may still stand.

Called by ``tasks``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_augment.transforms import variant_seed
from reel_shared.contracts import MAKE_VARIANTS, ImageState, MakeVariantsResult, Source, StoredFile, Variant
from reel_shared.db.inserts import insert as insert_into
from reel_shared.db.models import Image, Job
from reel_shared.ids import new_id
from reel_shared.jobs import LIVE
from reel_shared.leftovers import delete_unneeded

NO_LONGER_ACTIVE, TOO_LONG = "no-longer-active", "too-long"

_CHUNK = 500
_INHERITED = (
    "dataset", "label", "source", "phash", "collection_id", "style", "title", "creator", "licence", "licence_url",
    "attribution", "page_url", "url", "provider", "taken_at", "probe", "movie_id", "scene", "frame_index", "pts",
    "time_seconds",
)  # fmt: skip
"""What a variant has from its original. Its pHash too: a variant must never count as a picture of its own."""


@dataclass(frozen=True)
class Made:
    """One original and the variants that were made of it, in storage."""

    original: Image
    width: int
    height: int
    files: dict[Variant, StoredFile]
    impossible: frozenset[Variant]
    gone: bool = False
    """It was taken down before it could be opened."""
    too_long: bool = False
    """The format of the variants cannot hold one of its sides."""


@dataclass
class Tally:
    skipped: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, Any]] = field(default_factory=list)
    looked_at: set[str] = field(default_factory=set)
    """Originals, those too that could not be opened."""
    impossible: dict[str, list[str]] = field(default_factory=dict)
    """Original -> kinds that its contrast does not allow, of those that were opened and fit."""
    too_long: set[str] = field(default_factory=set)
    """Originals that the format cannot hold."""

    @property
    def done(self) -> int:
        return len(self.looked_at)


def rows(made: Made, seed: int, job_id: str) -> Iterator[dict[str, Any]]:
    inherited = {name: getattr(made.original, name) for name in _INHERITED}
    for kind, file in made.files.items():
        yield {
            **inherited,
            "id": new_id("img"),
            "variant": kind,
            "key": file.key,
            "sha256": file.sha256,
            "media_type": file.media_type,
            "size": file.size,
            "width": made.width,
            "height": made.height,
            "parent_id": made.original.id,
            "seed": variant_seed(made.original.sha256, seed) if kind is Variant.NOISE else None,
            "job_id": job_id,
        }


def insert(session: Session, tally: Tally, result: MakeVariantsResult) -> None:
    """Add the variants and count them; where another job was quicker with the same picture, its variants stay.

    An original that was rejected or taken down while the job ran gets none, and of one that was taken down the files
    go too: its take-down did not know them.
    """
    states = _locked_states(session, sorted(tally.looked_at))
    active = {image_id for image_id, state in states.items() if state == ImageState.ACTIVE}
    for image_id in sorted(states.keys() & tally.impossible.keys()):
        known = sa.update(Image).where(Image.id == image_id)
        session.execute(known.values(impossible_variants=tally.impossible[image_id]))
    wanted = [row for row in tally.rows if row["parent_id"] in active]
    added = _added(session, wanted)
    kept = [row for row in wanted if row["id"] in added]
    result.made = by_kind(Counter(row["variant"] for row in kept if row["source"] == Source.WEB))
    result.gray_frames = sum(row["source"] == Source.MOVIE for row in kept)
    refused = {
        NO_LONGER_ACTIVE: len(tally.looked_at - active),
        TOO_LONG: len(tally.too_long & active),
    }
    result.refused = {reason: times for reason, times in refused.items() if times}
    removed = {image_id for image_id, state in states.items() if state == ImageState.REMOVED}
    gone = {row["key"] for row in tally.rows if row["parent_id"] in removed}
    late = [row for row in wanted if row["id"] not in added]
    if late and not _others_run(session, late[0]["job_id"]):
        gone |= {row["key"] for row in late}
    delete_unneeded(session, gone)


def _added(session: Session, rows: list[dict[str, Any]]) -> set[str]:
    """Insert what does not stand yet and return the ids of that."""
    if not rows:
        return set()
    add = insert_into(session, Image.__table__).on_conflict_do_nothing().returning(Image.id)
    return set(session.scalars(add, rows))


def _others_run(session: Session, job_id: str) -> bool:
    """Whether another such job is at work: it may have found one of these files standing, and will name it."""
    others = sa.exists().where(Job.kind == MAKE_VARIANTS.name, Job.state.in_(LIVE), Job.id != job_id)
    return bool(session.scalar(sa.select(others)))


def _locked_states(session: Session, ids: list[str]) -> dict[str, str]:
    """Return the originals' states, locked until the variants stand beside them; in order, as other writers lock."""
    states: dict[str, str] = {}
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(Image.id, Image.state).where(Image.id.in_(ids[start : start + _CHUNK]))
        for image_id, state in session.execute(query.order_by(Image.id).with_for_update()):
            states[image_id] = state
    return states


def by_kind(counts: Counter[str]) -> dict[str, int]:
    return {kind: counts[kind] for kind in Variant if counts[kind]}
