"""Pins that hold imported pictures on the sides that they come from; called by the task ``import_dataset``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.db.models import SplitPin
from reel_shared.ids import new_id

Row = dict[str, Any]


class Sided(NamedTuple):
    """A picture's row and the side of the split that it comes from."""

    row: Row
    side: str

    @property
    def scene(self) -> tuple[str, int] | None:
        movie_id, scene = self.row["movie_id"], self.row["scene"]
        return None if movie_id is None or scene is None else (movie_id, scene)

    @property
    def group(self) -> object:
        """What must stay together with it: its scene, or the pictures of its page."""
        page = self.row["page_url"].partition("#")[0].strip().rstrip("/")
        return self.scene or page or self.row["id"]


def torn(pictures: Iterable[Sided]) -> set[object]:
    """Return the groups that have pictures on more than one side."""
    first: dict[object, str] = {}
    return {one.group for one in pictures if first.setdefault(one.group, one.side) != one.side}


def write_pins(session: Session, pictures: list[Sided], *, dataset: str, by: str) -> tuple[int, int]:
    """Pin every scene, and every picture that has none; returns how many pins are new, and the torn groups.

    A torn group is not pinned, for its pins would contradict each other. A scene that is pinned already stays there.
    """
    held = _pinned_scenes(session, dataset)
    apart = torn(pictures)
    values: list[dict[str, Any]] = []
    for one in pictures:
        if one.group in apart or one.scene in held:
            continue
        movie_id, scene = one.scene or (None, None)
        if one.scene is not None:
            held.add(one.scene)
        values.append(
            {
                "id": new_id("pin"),
                "dataset": dataset,
                "side": one.side,
                "movie_id": movie_id,
                "scene": scene,
                "image_id": one.row["id"] if one.scene is None else None,
                "by": by,
            }
        )
    if values:
        session.execute(sa.insert(SplitPin), values)
    return len(values), len(apart)


def _pinned_scenes(session: Session, dataset: str) -> set[tuple[str, int] | None]:
    query = sa.select(SplitPin.movie_id, SplitPin.scene).where(
        SplitPin.dataset == dataset, SplitPin.scene.is_not(None)
    )
    return {(row.movie_id, row.scene) for row in session.execute(query)}
