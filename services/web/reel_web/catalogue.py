"""Owns the questions that the data set pages ask of the tables: facets, one page of pictures, a picture's relatives.

Called by ``pages.datasets``, ``pages.pictures`` and ``pages.review``. The indexes ``ix_images_facets`` and
``ix_images_grid`` answer the first two without reading a row of a picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import ImageState, Variant
from reel_shared.db.models import DatasetVersion, Image, Movie
from reel_shared.hamming import Codes, distances

CHUNK = 500
"""Ids named in one statement."""
ORIGINAL = Variant.ORIGINAL.value
_COLUMNS = {
    "kind": Image.variant,
    "state": Image.state,
    "reason": Image.state_reason,
    "label": Image.label,
    "source": Image.source,
    "film": Image.movie_id,
}
FACETS = tuple(_COLUMNS)
"""What pictures are narrowed by, as addresses name it; a side of the split is known to no table and comes on top."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Pictures of one dataset: a value for each facet that narrows them. Taken-down ones are shown when asked for."""

    dataset: str
    chosen: Mapping[str, str]

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        found: list[sa.ColumnElement[bool]] = [Image.dataset == self.dataset]
        found += [_COLUMNS[name] == value for name, value in self.chosen.items()]
        if "state" not in self.chosen:
            found.append(Image.state != ImageState.REMOVED)
        return found

    def fits(self, values: Mapping[str, str | None], *, but: str = "") -> bool:
        """Whether a combination of values is among them, whatever it has for the facet ``but``."""
        if values["state"] == ImageState.REMOVED and but != "state" and "state" not in self.chosen:
            return False
        return all(values[name] == value for name, value in self.chosen.items() if name != but)


@dataclass(frozen=True, slots=True)
class Facets:
    total: int
    """Pictures that fit."""
    counts: dict[str, Counter[str]]
    """For each facet, how many pictures would fit with another value of it, the rest as chosen."""
    labels: list[str]
    """Every class of the dataset, whatever is chosen."""


def datasets(session: Session) -> list[dict[str, Any]]:
    """Every dataset with how many originals it has by state, and how many versions were built of it."""
    # Grouped as ix_images_facets is ordered: with the variant as a condition SQLite would read every row.
    columns = (Image.dataset, Image.variant, Image.state)
    found: dict[str, Counter[str]] = {}
    for name, variant, state, count in session.execute(
        sa.select(*columns, sa.func.count()).group_by(*columns)
    ):
        if variant == ORIGINAL:
            found.setdefault(name, Counter())[state] += count
    versions: dict[str, int] = dict(
        session.execute(
            sa.select(DatasetVersion.dataset, sa.func.count()).group_by(DatasetVersion.dataset)
        ).all()
    )
    return [
        {
            "name": name,
            "pictures": sum(states.values()) - states[ImageState.REMOVED],
            "states": {str(state): states[state] for state in ImageState if states[state]},
            "versions": versions.get(name, 0),
        }
        for name, states in sorted(found.items())
    ]


def facets(session: Session, wanted: Wanted) -> Facets:
    """Count by every combination of values, and sum up what each facet shows."""
    columns = list(_COLUMNS.values())
    query = sa.select(*columns, sa.func.count()).where(Image.dataset == wanted.dataset).group_by(*columns)
    total, counts = 0, {name: Counter[str]() for name in FACETS}
    labels: set[str] = set()
    for *values, count in session.execute(query):
        combination = dict(zip(FACETS, values, strict=True))
        labels.add(combination["label"])
        total += count if wanted.fits(combination) else 0
        for name in FACETS:
            value = combination[name]
            if value and wanted.fits(combination, but=name):
                counts[name][value] += count
    return Facets(total, counts, sorted(labels))


def page_of_ids(
    session: Session,
    wanted: Wanted,
    *,
    rows: int,
    after: str = "",
    before: str = "",
    oldest_first: bool = False,
    among: Callable[[str], bool] | None = None,
) -> tuple[list[str], bool]:
    """Return the ids of one page in the order of their birth, the newest first unless said, and whether more follow.

    Args:
        after, before: the page begins behind this picture, or ends in front of it.
        among: what else must hold of an id; asked of each that fits.
    """
    upwards = oldest_first != bool(before)
    query = sa.select(Image.id).where(*wanted.conditions())
    edge = before or after
    if edge:
        query = query.where(Image.id > edge if upwards else Image.id < edge)
    query = query.order_by(Image.id if upwards else Image.id.desc())
    if among is None:
        query = query.limit(rows + 1)
    found: list[str] = []
    with session.execute(query.execution_options(yield_per=CHUNK)) as result:
        for image_id in result.scalars():
            if among is None or among(image_id):
                found.append(image_id)
            if len(found) > rows:
                break
    more = len(found) > rows
    found = found[:rows]
    return (found[::-1] if before else found), more


def named(session: Session, ids: Iterable[str]) -> dict[str, Image]:
    """The pictures of these ids that exist."""
    wanted = list(dict.fromkeys(ids))
    found: dict[str, Image] = {}
    for start in range(0, len(wanted), CHUNK):
        part = wanted[start : start + CHUNK]
        found |= {row.id: row for row in session.scalars(sa.select(Image).where(Image.id.in_(part)))}
    return found


def labels(session: Session, dataset: str) -> list[str]:
    """Every class of a dataset."""
    return sorted(session.scalars(sa.select(Image.label).where(Image.dataset == dataset).distinct()))


def films(session: Session, dataset: str) -> dict[str, str]:
    """Movie id -> the title that people read."""
    query = sa.select(Movie.id, Movie.title, Movie.label).where(Movie.dataset == dataset)
    return {row.id: row.title or row.label for row in session.execute(query)}


def versions(session: Session, dataset: str, *, limit: int = 20) -> Sequence[DatasetVersion]:
    """A dataset's versions, the newest first."""
    query = (
        sa.select(DatasetVersion)
        .where(DatasetVersion.dataset == dataset)
        .order_by(DatasetVersion.created_at.desc(), DatasetVersion.id.desc())
    )
    return session.scalars(query.limit(limit)).all()


def neighbours_in_time(session: Session, image: Image, *, each: int = 4) -> list[Image]:
    """The frames just before and after one, in the film's order, without itself; none of web pictures."""
    if image.movie_id is None or image.frame_index is None:
        return []
    query = sa.select(Image).where(
        Image.movie_id == image.movie_id, Image.variant == ORIGINAL, Image.state != ImageState.REMOVED
    )
    earlier = query.where(Image.frame_index < image.frame_index).order_by(Image.frame_index.desc())
    later = query.where(Image.frame_index > image.frame_index).order_by(Image.frame_index)
    return [
        *reversed(session.scalars(earlier.limit(each)).all()),
        *session.scalars(later.limit(each)).all(),
    ]


def near_duplicates(
    session: Session, image: Image, *, within: int = 10, most: int = 12
) -> list[tuple[Image, int]]:
    """The originals of the dataset that look alike, with the bits in which their hashes differ, the closest first.

    What a person or a job has called a duplicate of it comes first, however far apart the two are.
    """
    ids, codes = _hashes(session, image.dataset)
    if not ids:
        return []
    bits = distances(codes, int(image.phash, 16))
    told = sa.select(Image.id).where(Image.duplicate_of == image.id, Image.variant == ORIGINAL)
    linked = set(session.scalars(told)) | ({image.duplicate_of} - {None})
    near = {ids[at]: int(bits[at]) for at in np.flatnonzero(bits <= within).tolist()}
    if missing := linked - near.keys():
        near |= {name: int(bits[at]) for at, name in enumerate(ids) if name in missing}
    near.pop(image.id, None)
    found = sorted(near.items(), key=lambda one: (one[0] not in linked, one[1], one[0]))
    pictures = named(session, [name for name, _ in found[:most]])
    return [(pictures[name], apart) for name, apart in found[:most] if name in pictures]


def _hashes(session: Session, dataset: str) -> tuple[list[str], Codes]:
    """The ids of a dataset's originals, and the perceptual hash of each.

    The database writes them as two long words: a row of its own for each of them takes three times as long.
    """
    query = sa.select(
        sa.func.aggregate_strings(Image.id, ","), sa.func.aggregate_strings(Image.phash, ",")
    ).where(Image.dataset == dataset, Image.variant == ORIGINAL, Image.state != ImageState.REMOVED)
    ids, hashes = session.execute(query).one()
    if not ids:
        return [], np.empty(0, np.uint64)
    return ids.split(","), np.frombuffer(bytes.fromhex(hashes.replace(",", "")), ">u8").astype(np.uint64)


def variants(session: Session, image: Image) -> Sequence[Image]:
    query = sa.select(Image).where(Image.parent_id == image.id, Image.state != ImageState.REMOVED)
    return session.scalars(query.order_by(Image.variant)).all()
