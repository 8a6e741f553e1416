"""The job `rank_subjects`: which frames show background only, learnt from a person's marks."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_ingest import changes, feature_cache, subject_features, subjects
from reel_ingest.lookahead import in_order
from reel_ingest.marks import BACKGROUND
from reel_ingest.subject_features import Features
from reel_ingest.subjects import Ranking
from reel_shared.contracts import RANK_SUBJECTS, ImageState, Source, StoredFile, Variant
from reel_shared.contracts.curation import Mark, RankSubjectsRequest, RankSubjectsResult
from reel_shared.db.engine import transact
from reel_shared.db.models import Image, SubjectMark
from reel_shared.errors import Unprocessable
from reel_shared.images import open_picture
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

LANES = 2
"""Pictures that are read and measured at the same time."""


@dataclass(frozen=True, slots=True)
class _Frame:
    id: str
    sha256: str
    key: str
    film: str
    scene: str
    active: bool
    mark: str | None

    @property
    def background(self) -> bool | None:
        return None if self.mark is None else self.mark == BACKGROUND


@task(RANK_SUBJECTS)
def rank_subjects(context: Context, request: RankSubjectsRequest) -> Outcome:
    """Learn from the marked frames, in whatever state, and propose among the active ones."""
    frames = transact(lambda session: _frames(session, request))
    features, made = _features(context, request, frames)
    try:
        ranking = subjects.rank_subjects(
            features,
            films=[frame.film for frame in frames],
            scenes=[frame.scene for frame in frames],
            background=[frame.background for frame in frames],
            precision=request.precision,
        )
    except ValueError as error:
        raise Unprocessable(
            "Mark some frames as keep and some as background first, for instance ten of each."
        ) from error
    active = [index for index, frame in enumerate(frames) if frame.active]
    proposed = {frames[index].id for index in active if _is_proposed(frames[index], ranking, index)}
    result = RankSubjectsResult(
        frames=len(active),
        marked=_counted(frames),
        proposed=len(proposed),
        proposals=_stored(frames, active, ranking, proposed),
        threshold=ranking.threshold,
        precision=ranking.precision,
        precision_lower=ranking.precision_lower,
        precision_expected=ranking.precision_expected,
        recall=ranking.recall,
        enough=ranking.enough,
        message=ranking.message,
        features_made=made,
    )
    if not request.apply:
        return Outcome(result)
    if not ranking.enough:
        result.message += " Nothing was rejected."
        return Outcome(result)
    return Outcome(result, lambda session: _apply(session, result, proposed, context.job_id))


def _frames(session: Session, request: RankSubjectsRequest) -> list[_Frame]:
    """Return the active frames that are asked for, and the marked ones, whatever became of them."""
    query = (
        sa.select(Image, SubjectMark.mark)
        .outerjoin(SubjectMark, SubjectMark.image_id == Image.id)
        .where(
            Image.dataset == request.dataset,
            Image.source == Source.MOVIE,
            Image.variant == Variant.ORIGINAL,
            Image.state != ImageState.REMOVED,
            sa.or_(Image.state == ImageState.ACTIVE, SubjectMark.mark.is_not(None)),
            *([Image.label == request.label] if request.label else []),
            *([Image.movie_id == request.movie_id] if request.movie_id else []),
        )
        .order_by(Image.id)
    )
    return [
        _Frame(
            id=image.id,
            sha256=image.sha256,
            key=image.key,
            film=image.movie_id or "",
            # A frame whose scene is not known is a scene of its own.
            scene=f"{image.movie_id}:{image.scene}" if image.scene is not None else image.id,
            active=image.state == ImageState.ACTIVE,
            mark=mark,
        )
        for image, mark in session.execute(query)
    ]


def _features(context: Context, request: RankSubjectsRequest, frames: list[_Frame]) -> tuple[Features, int]:
    if not frames:
        raise Unprocessable(f"Dataset {request.dataset!r} has no frames of a film that fit.")
    known = feature_cache.load(request.dataset, context.scratch)
    missing = list({frame.sha256: frame for frame in frames if frame.sha256 not in known}.values())
    context.progress(0, len(missing), unit="frames", message="measuring frames")
    with closing(in_order(missing, _measure, lanes=LANES)) as measured:
        for done, (frame, found) in enumerate(measured, start=1):
            known[frame.sha256] = found
            context.progress(done, len(missing), unit="frames", message="measuring frames")
    features = subject_features.stack([known[frame.sha256] for frame in frames])
    if missing:
        _remember(context.scratch, request, known)
    return features, len(missing)


def _measure(frame: _Frame) -> Features:
    limits = settings().limits
    data = storage().get_bytes(frame.key, max_bytes=limits.picture_bytes, sha256=frame.sha256)
    try:
        return subject_features.of_jpeg(data)
    except ValueError:  # an imported frame is a file of any format
        picture = open_picture(data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes)
        return subject_features.of_picture(np.asarray(picture))


def _remember(scratch: Path, request: RankSubjectsRequest, known: dict[str, Features]) -> None:
    """Store the features of what the dataset still holds; this job may have looked at one film of it only."""
    held = sa.select(Image.sha256).where(Image.dataset == request.dataset, Image.state != ImageState.REMOVED)
    standing = set(transact(lambda session: session.scalars(held).all()))
    kept = sorted(standing & known.keys())
    feature_cache.store(request.dataset, scratch, kept, subject_features.stack([known[sha] for sha in kept]))


def _is_proposed(frame: _Frame, ranking: Ranking, index: int) -> bool:
    if frame.mark is not None or ranking.threshold is None:
        return frame.mark == BACKGROUND
    return bool(ranking.probabilities[index] >= ranking.threshold)


def _stored(frames: list[_Frame], active: list[int], ranking: Ranking, proposed: set[str]) -> StoredFile:
    order = sorted(active, key=lambda index: (-ranking.probabilities[index], frames[index].id))
    lines = [
        json.dumps(
            {
                "image_id": frames[index].id,
                "probability": round(float(ranking.probabilities[index]), 6),
                "proposed": frames[index].id in proposed,
                "mark": frames[index].mark,
            }
        )
        for index in order
    ]
    return storage().put_bytes("proposals", "\n".join(lines).encode(), "application/jsonl", ".jsonl")


def _counted(frames: list[_Frame]) -> dict[Mark, int]:
    counted = Counter(frame.mark for frame in frames)
    return {"keep": counted["keep"], "background": counted["background"]}


def _apply(session: Session, result: RankSubjectsResult, proposed: set[str], job_id: str) -> None:
    """Reject what is still active; a person may have decided something else since."""
    edits = [
        changes.edit(picture, state=ImageState.REJECTED, state_reason=BACKGROUND)
        for picture in changes.named(session, proposed)
        if picture.state == ImageState.ACTIVE
    ]
    result.batch_id = changes.write(session, edits, by=job_id)
    result.applied = len(edits)
