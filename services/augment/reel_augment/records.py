"""Variants as rows of ``images``: what they have from their original, and which of them may still stand.

Called by ``tasks``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from reel_augment.transforms import variant_seed
from reel_shared.contracts import ImageState, MakeVariantsResult, Source, StoredFile, Variant
from reel_shared.db.models import Image
from reel_shared.ids import new_id
from reel_shared.storage import storage

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
    impossible: dict[str, list[str]] = field(default_factory=dict)
    """Original -> kinds that its contrast does not allow."""
    too_long: set[str] = field(default_factory=set)
    """Originals that the format cannot hold."""

    @property
    def done(self) -> int:
        return len(self.impossible)


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
    states = _locked_states(session, sorted(tally.impossible))
    active = {image_id for image_id, state in states.items() if state == ImageState.ACTIVE}
    for image_id in sorted(states):
        known = sa.update(Image).where(Image.id == image_id)
        session.execute(known.values(impossible_variants=tally.impossible[image_id]))
    kept = [row for row in tally.rows if row["parent_id"] in active]
    result.made = by_kind(Counter(row["variant"] for row in kept if row["source"] == Source.WEB))
    result.gray_frames = sum(row["source"] == Source.MOVIE for row in kept)
    refused = {
        NO_LONGER_ACTIVE: len(tally.impossible.keys() - active),
        TOO_LONG: len(tally.too_long & active),
    }
    result.refused = {reason: times for reason, times in refused.items() if times}
    if kept:
        dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
        session.execute(dialect.insert(Image).on_conflict_do_nothing(), kept)
    removed = {image_id for image_id, state in states.items() if state == ImageState.REMOVED}
    _delete_files(session, {row["key"] for row in tally.rows if row["parent_id"] in removed})


def _locked_states(session: Session, ids: list[str]) -> dict[str, str]:
    """Return the originals' states, locked until the variants stand beside them; in order, as other writers lock."""
    states: dict[str, str] = {}
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(Image.id, Image.state).where(Image.id.in_(ids[start : start + _CHUNK]))
        for image_id, state in session.execute(query.order_by(Image.id).with_for_update()):
            states[image_id] = state
    return states


def _delete_files(session: Session, keys: set[str]) -> None:
    """Delete what no other picture lies in."""
    live = sa.select(Image.key).where(Image.key.in_(keys), Image.state != ImageState.REMOVED)
    for key in sorted(keys - set(session.scalars(live))):
        storage().delete(key)


def by_kind(counts: Counter[str]) -> dict[str, int]:
    return {kind: counts[kind] for kind in Variant if counts[kind]}
