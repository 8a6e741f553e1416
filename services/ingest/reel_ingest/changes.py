"""Changes of pictures' states and labels, one row each, and the way back; called by the API and rank_subjects.

Every function works in the caller's transaction and locks the pictures that it changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from reel_shared.contracts import ImageState, Variant
from reel_shared.db.models import Image, ImageChange, utcnow
from reel_shared.errors import Conflict
from reel_shared.ids import new_id

T = TypeVar("T")
CHUNK = 1000
"""Ids in one statement."""
_TABLE = cast(sa.Table, Image.__table__)
_COLUMNS = (
    Image.id, Image.dataset, Image.sha256, Image.label, Image.source, Image.variant, Image.parent_id, Image.state,
    Image.state_reason, Image.duplicate_of,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """A picture as it stands, locked."""

    id: str
    dataset: str
    sha256: str
    label: str
    source: str
    variant: str
    parent_id: str | None
    state: str
    state_reason: str
    duplicate_of: str | None


@dataclass(frozen=True, slots=True)
class Edit:
    """What a picture becomes; ``None`` and, of ``duplicate_of``, the empty text are no picture."""

    before: Standing
    state: str
    state_reason: str
    label: str
    duplicate_of: str | None

    @property
    def changes(self) -> bool:
        return self.fields != (
            self.before.state,
            self.before.state_reason,
            self.before.label,
            self.before.duplicate_of,
        )

    @property
    def fields(self) -> tuple[str, str, str, str | None]:
        return (self.state, self.state_reason, self.label, self.duplicate_of)

    @property
    def activates(self) -> bool:
        return self.state == ImageState.ACTIVE != self.before.state


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def stand(session: Session, *wanted: sa.ColumnElement[bool]) -> list[Standing]:
    """Return the pictures that fit, in the order of their ids, locked until the transaction ends."""
    query = sa.select(*_COLUMNS).where(*wanted).order_by(Image.id).with_for_update()
    return [Standing(**row) for row in session.execute(query).mappings()]


def named(session: Session, image_ids: Iterable[str]) -> list[Standing]:
    """Return the pictures of these ids that exist, locked."""
    found: list[Standing] = []
    for part in chunks(sorted(set(image_ids))):
        found += stand(session, Image.id.in_(part))
    return found


def edit(picture: Standing, **fields: Any) -> Edit:
    """Return an edit that leaves alone what is not in ``fields``."""
    kept = {name: getattr(picture, name) for name in ("state", "state_reason", "label", "duplicate_of")}
    return Edit(picture, **{**kept, **fields})


def write(session: Session, edits: Sequence[Edit], *, by: str) -> str:
    """Make the edits that change something, with a row of each change, and return the batch's id.

    The variants of a picture get its label.

    Raises:
        Conflict: a picture would become active beside another one of the same bytes, or was taken down.
    """
    batch_id = new_id("chg")
    real = [one for one in edits if one.changes]
    gone = next((one.before.id for one in real if one.before.state == ImageState.REMOVED), None)
    if gone is not None:
        raise Conflict(f"{gone} was taken down; its files are gone and nothing brings it back.")
    _refuse_twins(session, real)
    # One original of the same bytes may be active at a time: first those that make room.
    _update(session, [one for one in real if not one.activates])
    try:
        _update(session, [one for one in real if one.activates])
    except IntegrityError as error:
        raise Conflict("The same bytes have just become active as another picture; look again.") from error
    rows = [row for one in real for row in _rows(one, batch_id, by)]
    if rows:
        session.execute(sa.insert(ImageChange), rows)
    return batch_id


def undo(session: Session, batch_id: str, *, by: str) -> tuple[str, list[Edit], int]:
    """Put back what a batch changed, as a batch of its own.

    Returns:
        The new batch's id, the edits, and how many pictures were left alone because they have been changed since.
    """
    done = session.scalars(
        sa.select(ImageChange).where(ImageChange.batch_id == batch_id).order_by(ImageChange.id)
    ).all()
    by_image: dict[str, list[ImageChange]] = {}
    for row in done:
        by_image.setdefault(row.image_id, []).append(row)
    edits: list[Edit] = []
    standing = named(session, by_image)
    for picture in standing:
        rows = by_image[picture.id]
        if all(_still(picture, row) for row in rows):
            edits.append(edit(picture, **_backwards(rows)))
    return write(session, edits, by=by), edits, len(by_image) - len(edits)


def _still(picture: Standing, row: ImageChange) -> bool:
    if row.field == "state" and picture.state_reason != row.reason:
        return False
    return (getattr(picture, row.field) or "") == row.after


def _backwards(rows: Iterable[ImageChange]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for row in rows:
        fields[row.field] = row.before or (None if row.field == "duplicate_of" else "")
        if row.field == "state":
            fields["state_reason"] = row.reason_before
    return fields


def _update(session: Session, edits: Sequence[Edit]) -> None:
    if not edits:
        return
    statement = sa.update(_TABLE).where(_TABLE.c.id == sa.bindparam("image"))
    values: dict[str, Any] = {
        name: sa.bindparam(f"new_{name}") for name in ("state", "state_reason", "label", "duplicate_of")
    }
    session.execute(
        statement.values(values),
        [
            {
                "image": one.before.id,
                "new_state": one.state,
                "new_state_reason": one.state_reason,
                "new_label": one.label,
                "new_duplicate_of": one.duplicate_of,
            }
            for one in edits
        ],
    )
    relabelled = [
        {"image": one.before.id, "new_label": one.label} for one in edits if one.label != one.before.label
    ]
    if relabelled:
        variants = sa.update(_TABLE).where(_TABLE.c.parent_id == sa.bindparam("image"))
        session.execute(variants.values(label=sa.bindparam("new_label")), relabelled)


def _rows(one: Edit, batch_id: str, by: str) -> Iterator[Mapping[str, Any]]:
    was, at = one.before, utcnow()
    common = {"batch_id": batch_id, "image_id": was.id, "by": by, "at": at, "reason_before": was.state_reason}
    common["reason"] = one.state_reason
    if (one.state, one.state_reason) != (was.state, was.state_reason):
        yield {**common, "field": "state", "before": was.state, "after": one.state}
    if one.label != was.label:
        yield {**common, "field": "label", "before": was.label, "after": one.label}
    if one.duplicate_of != was.duplicate_of:
        before, after = was.duplicate_of or "", one.duplicate_of or ""
        yield {**common, "field": "duplicate_of", "before": before, "after": after}


def _refuse_twins(session: Session, edits: Sequence[Edit]) -> None:
    waking = [one.before for one in edits if one.activates and one.before.variant == Variant.ORIGINAL]
    leaving = {one.before.id for one in edits if one.state != ImageState.ACTIVE}
    seen = Counter((one.dataset, one.sha256) for one in waking)
    for one in waking:
        if seen[one.dataset, one.sha256] > 1:
            raise Conflict(
                f"{one.id} and another of these pictures have the same bytes; make one of them active."
            )
    twin = aliased(Image)
    for part in chunks([one.id for one in waking]):
        query = (
            sa.select(Image.id, twin.id)
            .join(twin, sa.and_(twin.dataset == Image.dataset, twin.sha256 == Image.sha256))
            .where(
                Image.id.in_(part),
                twin.id != Image.id,
                twin.variant == Variant.ORIGINAL,
                twin.state == ImageState.ACTIVE,
            )
        )
        for image_id, other in session.execute(query):
            if other not in leaving:
                raise Conflict(
                    f"{image_id} has the same bytes as {other}, which is active already; "
                    "make that one a duplicate or reject it first.",
                    image_id=image_id,
                    active=other,
                )
