"""What a person decides about pictures, checked and made into changes; called by ``api.curation``.

Every function works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_ingest import changes, marks
from reel_ingest.changes import Edit, Standing
from reel_shared.contracts import ImageState, Source, Variant
from reel_shared.contracts.curation import (
    ChangeImagesRequest,
    ImageBatch,
    ImageFilter,
    ImageSetting,
    ResolveConflictRequest,
)
from reel_shared.db.models import Image, ImageChange
from reel_shared.errors import Conflict, NotFound, Unprocessable

MAX_FILTERED = 100_000
"""Pictures that one action may change by a filter: what one transaction carries within seconds."""
CONFLICT = "conflict"
PERSON = "person"
_JOB = "job_"


def change(session: Session, request: ChangeImagesRequest, *, by: str) -> ImageBatch:
    """Set state, label or both of the pictures that the request names.

    Raises:
        NotFound: a picture that is named does not exist.
        Unprocessable: a variant is named, or what is repeated is no picture that may stand for others.
        Conflict: a picture was taken down, a film's frame would be relabelled, or the same bytes are active.
    """
    pictures = _wanted(session, request)
    _check_setting(session, request, pictures)
    edits = [_edit(picture, request.set, request.reason) for picture in pictures]
    batch_id = changes.write(session, edits, by=by)
    for mark, image_ids in marks.implied(edits).items():
        marks.write(session, image_ids, mark, by=by)
    return _batch(batch_id, edits)


def undo(session: Session, batch_id: str, *, by: str) -> ImageBatch:
    """Put back a batch, and take away the marks that it implied. Raises NotFound, or Conflict as ``change`` does."""
    maker = session.scalar(sa.select(ImageChange.by).where(ImageChange.batch_id == batch_id).limit(1))
    if maker is None:
        raise NotFound(f"There is no batch of changes {batch_id}, or it changed nothing.")
    new_id, edits, skipped = changes.undo(session, batch_id, by=by)
    if not maker.startswith(_JOB):
        # Whoever takes back their own word has said nothing; a job's proposals left no marks.
        contrary = marks.implied(edits)
        marks.remove(session, contrary["keep"], "background")
        marks.remove(session, contrary["background"], "keep")
    return _batch(new_id, edits, skipped=skipped)


def resolve(session: Session, image_id: str, request: ResolveConflictRequest, *, by: str) -> ImageBatch:
    """Keep one of several pictures that show the same under different labels; the others repeat it.

    Raises:
        NotFound: there is no such picture.
        Conflict: nothing contradicts it, or ``change`` would be refused.
    """
    found = changes.named(session, [image_id])
    if not found:
        raise NotFound(f"There is no image {image_id}.")
    kept, others = _contradicting(session, found[0])
    if not others:
        raise Conflict(
            f"Nothing contradicts {image_id}; conflicts are quarantined with the reason 'conflict'."
        )
    label = request.label or kept.label
    _check_frames([kept] if label != kept.label else [], force=request.force)
    edits = [changes.edit(kept, state=ImageState.ACTIVE, state_reason="", label=label, duplicate_of=None)]
    for other in others:
        fields = {"state": request.others, "state_reason": CONFLICT, "duplicate_of": kept.id}
        edits.append(changes.edit(other, **fields))
    return _batch(changes.write(session, edits, by=by), edits)


def check_markable(session: Session, image_ids: Iterable[str]) -> list[str]:
    """Return the ids, each once, of pictures that may be marked. Raises NotFound or Unprocessable."""
    wanted = sorted(set(image_ids))
    pictures = _all_of(changes.named(session, wanted), wanted)
    gone = next((one.id for one in pictures if one.state == ImageState.REMOVED), None)
    if gone is not None:
        raise Unprocessable(f"{gone} was taken down and cannot be marked.")
    return wanted


def _wanted(session: Session, request: ChangeImagesRequest) -> list[Standing]:
    if request.image_ids is not None:
        pictures = _all_of(changes.named(session, request.image_ids), request.image_ids)
        variant = next((one for one in pictures if one.parent_id is not None), None)
        if variant is not None:
            raise Unprocessable(
                f"{variant.id} is a variant and follows its original; change {variant.parent_id} instead."
            )
        return pictures
    assert request.filter is not None  # the contract asks for one of the two
    conditions = _conditions(request.filter)
    count = session.scalar(sa.select(sa.func.count()).select_from(Image).where(*conditions)) or 0
    if count > MAX_FILTERED:
        raise Unprocessable(f"The filter finds {count} pictures; narrow it to at most {MAX_FILTERED}.")
    return changes.stand(session, *conditions)


def _conditions(wanted: ImageFilter) -> list[sa.ColumnElement[bool]]:
    named = wanted.model_dump(mode="json", exclude_none=True)
    return [
        Image.variant == Variant.ORIGINAL,
        Image.state != ImageState.REMOVED,
        *(getattr(Image, name) == value for name, value in named.items()),
    ]


def _all_of(pictures: list[Standing], image_ids: Iterable[str]) -> list[Standing]:
    missing = sorted(set(image_ids) - {one.id for one in pictures})
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise NotFound(f"There is no image {missing[0][:40]}{more}; nothing was changed.")
    return pictures


def _check_setting(session: Session, request: ChangeImagesRequest, pictures: Sequence[Standing]) -> None:
    wanted = request.set
    if wanted.label is not None:
        _check_frames([one for one in pictures if one.label != wanted.label], force=request.force)
    if wanted.duplicate_of is None:
        return
    shown = session.get(Image, wanted.duplicate_of)
    if shown is None or shown.variant != Variant.ORIGINAL or shown.state == ImageState.REMOVED:
        raise Unprocessable(f"There is no original {wanted.duplicate_of} that others could repeat.")
    for one in pictures:
        if one.id == shown.id:
            raise Unprocessable(f"{one.id} cannot repeat itself; leave it out of the pictures to change.")
        if one.dataset != shown.dataset:
            raise Unprocessable(f"{one.id} is of another dataset than {shown.id}, which it should repeat.")


def _check_frames(relabelled: Sequence[Standing], *, force: bool) -> None:
    frames = sum(one.source == Source.MOVIE for one in relabelled)
    if frames and not force:
        raise Conflict(
            f"{frames} of these pictures are frames of a film, which all have the film's label; "
            "send force: true to relabel them all the same."
        )


def _edit(picture: Standing, wanted: ImageSetting, reason: str) -> Edit:
    fields: dict[str, str | None] = {}
    if wanted.label is not None:
        fields["label"] = wanted.label
    if wanted.state is not None:
        active = ImageState(wanted.state) is ImageState.ACTIVE
        fields["state"] = wanted.state
        fields["state_reason"] = reason or ("" if active else PERSON)
        if active or wanted.duplicate_of is not None:
            fields["duplicate_of"] = wanted.duplicate_of
    return changes.edit(picture, **fields)


def _contradicting(session: Session, picture: Standing) -> tuple[Standing, list[Standing]]:
    """Return the picture, locked, and those of its conflict: what it contradicts and what contradicts the same."""
    centre = picture.duplicate_of if _in_conflict(picture) and picture.duplicate_of else picture.id
    group = changes.stand(
        session,
        Image.variant == Variant.ORIGINAL,
        sa.or_(Image.id == centre, Image.duplicate_of == centre, Image.id == picture.id),
    )
    quarantined = [one for one in group if one.id != picture.id and _in_conflict(one)]
    middle = [one for one in group if one.id == centre != picture.id and one.state == ImageState.ACTIVE]
    return picture, sorted(quarantined + middle, key=lambda one: one.id)


def _in_conflict(picture: Standing) -> bool:
    return (picture.state, picture.state_reason) == (ImageState.QUARANTINED, CONFLICT)


def _batch(batch_id: str, edits: Sequence[Edit], *, skipped: int = 0) -> ImageBatch:
    changed = sum(one.changes for one in edits)
    return ImageBatch(batch_id=batch_id, changed=changed, unchanged=len(edits) - changed, skipped=skipped)
