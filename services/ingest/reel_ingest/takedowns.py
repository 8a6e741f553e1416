"""Take-downs in the database: what goes, what is left to delete, who must know. Called by the API and its task.

First the rows say that a picture is removed, then its files go, then the take-down says that it is finished: so a
crash leaves a take-down that is seen to be unfinished, and doing it again finishes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_ingest import changes
from reel_shared.contracts import ImageState, Variant
from reel_shared.contracts.curation import TakeDownPicturesRequest
from reel_shared.db.models import DatasetVersion, Image, Takedown, TrainedModel, utcnow
from reel_shared.errors import NotFound
from reel_shared.ids import new_id
from reel_shared.leftovers import drop_report, unneeded

TAKEN_DOWN = "taken-down"


def remove(session: Session, request: TakeDownPicturesRequest, *, by: str) -> list[Takedown]:
    """Set the pictures and their variants ``removed`` and record it; what was taken down already stays so.

    Every original with the same bytes goes, in whatever dataset: it is the same picture in the same file.

    Returns:
        The take-downs of all these pictures, earlier ones too.

    Raises:
        NotFound: nothing is known by this id or address.
    """
    found = set(session.scalars(_named(request)))
    if not found:
        raise NotFound("No picture is known by this id or address; GET /v1/images shows what there is.")
    pictures = changes.stand(session, Image.variant == Variant.ORIGINAL, Image.sha256.in_(found))
    gone = {"state": ImageState.REMOVED, "state_reason": TAKEN_DOWN}
    changes.write(session, [changes.edit(one, **gone) for one in pictures], by=by)
    image_ids = [one.id for one in pictures]
    for part in changes.chunks(image_ids):
        session.execute(sa.update(Image).where(Image.parent_id.in_(part)).values(**gone))
    standing = {row.image_id: row for row in recorded(session, image_ids)}
    for image in session.scalars(sa.select(Image).where(Image.id.in_(image_ids))):
        if image.id not in standing:
            standing[image.id] = _takedown(image, request, by=by)
            session.add(standing[image.id])
        if request.page_url is not None and image.page_url == request.page_url:
            standing[image.id].page_url = image.page_url
    session.flush()
    return sorted(standing.values(), key=lambda row: row.id)


def _takedown(image: Image, request: TakeDownPicturesRequest, *, by: str) -> Takedown:
    return Takedown(
        id=new_id("tkd"),
        image_id=image.id,
        sha256=image.sha256,
        phash=image.phash,
        url=image.url,
        reason=request.reason,
        by=by,
    )


def recorded(session: Session, image_ids: Sequence[str]) -> list[Takedown]:
    return list(session.scalars(sa.select(Takedown).where(Takedown.image_id.in_(image_ids))))


def objects(session: Session, image_ids: Sequence[str]) -> tuple[list[str], int]:
    """Return the files of pictures and their variants that no other picture lies in, and how many variants."""
    family = sa.or_(Image.id.in_(image_ids), Image.parent_id.in_(image_ids))
    rows = session.execute(sa.select(Image.key, Image.variant).where(family)).all()
    return unneeded(session, (row.key for row in rows)), sum(row.variant != Variant.ORIGINAL for row in rows)


def look_alikes(session: Session, image_ids: Sequence[str]) -> list[str]:
    """Return the pictures that stand as duplicates of these, in files of their own."""
    query = sa.select(Image.id).where(
        Image.duplicate_of.in_(image_ids),
        Image.state != ImageState.REMOVED,
        Image.variant == Variant.ORIGINAL,
    )
    return sorted(session.scalars(query))


def versions(session: Session, image_ids: Sequence[str]) -> list[DatasetVersion]:
    """Return the versions of the datasets that these pictures belong to."""
    datasets = sa.select(Image.dataset).where(Image.id.in_(image_ids))
    query = sa.select(DatasetVersion).where(DatasetVersion.dataset.in_(datasets)).order_by(DatasetVersion.id)
    return list(session.scalars(query))


def finish(session: Session, takedown_ids: Sequence[str], held: dict[str, list[str]]) -> list[str]:
    """Mark the versions that hold pictures, and the models of those; returns the models.

    Args:
        held: id of a version -> the take-downs of pictures in it.
    """
    marked: list[str] = []
    for version_id, ids in held.items():
        version = session.get_one(DatasetVersion, version_id, with_for_update=True)
        version.takedowns = _with(version.takedowns, ids)
        trained = sa.select(TrainedModel).filter_by(dataset_version_id=version_id).with_for_update()
        for model in session.scalars(trained):
            model.takedowns = _with(model.takedowns, ids)
            drop_report(session, model)
            marked.append(model.id)
    unfinished = sa.update(Takedown).where(Takedown.id.in_(takedown_ids), Takedown.finished_at.is_(None))
    session.execute(unfinished.values(finished_at=utcnow()))
    return sorted(marked)


def _named(request: TakeDownPicturesRequest) -> sa.Select[str]:
    query = sa.select(Image.sha256).where(Image.variant == Variant.ORIGINAL)
    if request.image_id is not None:
        # A variant is taken down with its original.
        parent = sa.select(Image.parent_id).where(Image.id == request.image_id)
        return query.where(sa.or_(Image.id == request.image_id, Image.id.in_(parent)))
    if request.url is not None:
        return query.where(Image.url == request.url)
    return query.where(Image.page_url == request.page_url)


def _with(present: Iterable[str], more: Iterable[str]) -> list[str]:
    return sorted({*present, *more})
