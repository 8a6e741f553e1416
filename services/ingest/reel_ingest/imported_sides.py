"""Pins that hold imported pictures on the sides that they come from; called by the task ``import_dataset``.

Pins contradict each other where a group has some on both sides, and then no version can be built. So the groups are
looked at as a version sees them, over the whole dataset and with the pins that it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import BuildDatasetVersionRequest, ImageState, Variant
from reel_shared.db.models import Image, SplitPin
from reel_shared.groups import groups
from reel_shared.ids import new_id
from reel_shared.manifest import page_of

_Scene = tuple[str, int]


class _Original(NamedTuple):
    """An active original, as ``reel_shared.groups`` looks at it."""

    id: str
    movie_id: str | None
    number: int | None
    time_seconds: float | None
    page_url: str
    sha256: str
    phash: str
    phash_with_bars: str | None

    @property
    def of_film(self) -> _Scene | None:
        return None if self.movie_id is None or self.number is None else (self.movie_id, self.number)

    @property
    def scene(self) -> str | None:
        return None if self.of_film is None else f"{self.movie_id}:{self.number}"

    @property
    def page(self) -> str | None:
        return page_of(self.page_url)


class _Pins:
    """The pins that a dataset has."""

    def __init__(self, session: Session, dataset: str) -> None:
        self.scenes: dict[_Scene, str] = {}
        self._pictures: dict[str, str] = {}
        self._stretches: defaultdict[str, list[tuple[float, float, str]]] = defaultdict(list)
        columns = (SplitPin.side, SplitPin.image_id, SplitPin.movie_id, SplitPin.scene)
        times = (SplitPin.start_seconds, SplitPin.end_seconds)
        for side, image_id, movie_id, scene, start, end in session.execute(
            sa.select(*columns, *times).where(SplitPin.dataset == dataset)
        ):
            if image_id is not None:
                self._pictures[image_id] = side
            elif movie_id is not None and scene is not None:
                self.scenes[movie_id, scene] = side
            elif movie_id is not None and start is not None and end is not None:
                self._stretches[movie_id].append((start, end, side))

    def sides(self, one: _Original) -> Iterator[str]:
        """Yield where a picture is pinned to."""
        if one.id in self._pictures:
            yield self._pictures[one.id]
        if one.of_film is not None and one.of_film in self.scenes:
            yield self.scenes[one.of_film]
        if one.movie_id is not None and one.time_seconds is not None:
            for start, end, side in self._stretches.get(one.movie_id, ()):
                if start <= one.time_seconds < end:
                    yield side


def write_pins(session: Session, sides: Mapping[str, str], *, dataset: str, by: str) -> tuple[int, int]:
    """Pin every scene, and every picture that has none; returns how many pins are new, and the torn groups.

    A torn group is one with pictures, or pins, on more than one side: it gets no pin. A scene that is pinned already
    stays there.

    Args:
        sides: of the pictures that were imported, by id.
    """
    originals, pins = _originals(session, dataset), _Pins(session, dataset)
    names = groups(originals, near_distance=BuildDatasetVersionRequest().near_distance)
    met: defaultdict[int, set[str]] = defaultdict(set)
    for name, one in zip(names, originals, strict=True):
        met[name].update(pins.sides(one), [sides[one.id]] if one.id in sides else [])
    torn, values = set[int](), []
    for name, one in zip(names, originals, strict=True):
        if one.id not in sides:
            continue
        if len(met[name]) > 1:
            torn.add(name)
        elif one.of_film is None or one.of_film not in pins.scenes:
            values.append(_pin(one, sides[one.id], dataset=dataset, by=by))
            if one.of_film is not None:
                pins.scenes[one.of_film] = sides[one.id]
    if values:
        session.execute(sa.insert(SplitPin), values)
    return len(values), len(torn)


def _pin(one: _Original, side: str, *, dataset: str, by: str) -> dict[str, Any]:
    movie_id, scene = one.of_film or (None, None)
    return {
        "id": new_id("pin"),
        "dataset": dataset,
        "side": side,
        "movie_id": movie_id,
        "scene": scene,
        "image_id": one.id if one.of_film is None else None,
        "by": by,
    }


def _originals(session: Session, dataset: str) -> list[_Original]:
    columns = (Image.id, Image.movie_id, Image.scene, Image.time_seconds, Image.page_url, Image.sha256)
    hashes = (Image.phash, Image.phash_with_bars)
    query = sa.select(*columns, *hashes).where(
        Image.dataset == dataset, Image.variant == Variant.ORIGINAL, Image.state == ImageState.ACTIVE
    )
    return [_Original(*row) for row in session.execute(query.order_by(Image.id))]
