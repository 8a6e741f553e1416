"""The trainer's rows: pictures of a dataset in, dataset versions and models out; called by ``tasks`` and ``api``."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.certificate import why_uncertified
from reel_shared.contracts import (
    TRAIN_MODEL,
    BuildDatasetVersionResult,
    ImageState,
    SplitCertificate,
    StoredFile,
    TrainingCheckpoint,
    TrainModelResult,
)
from reel_shared.db import locks
from reel_shared.db.models import (
    DatasetVersion,
    Image,
    Job,
    SplitPin,
    Takedown,
    TrainedModel,
    TrainingMetrics,
    TrainingState,
)
from reel_shared.errors import Conflict, NotFound, Unprocessable
from reel_shared.leftovers import drop_report
from reel_shared.manifest import ManifestImage
from reel_shared.model_card import ModelCard
from reel_trainer import registry
from reel_trainer.pins import Pin

_FIELDS = (
    *("id", "key", "sha256", "label", "source", "variant", "parent_id", "style", "phash", "width", "height"),
    "probe",
)
_ORIGIN = (
    *("movie_id", "time_seconds", "frame_index", "pts", "page_url", "url", "title", "creator"),
    *("licence", "licence_url", "attribution", "provider", "taken_at", "phash_with_bars"),
)
"""Said of originals only; a variant has the origin of its parent."""


def pictures(session: Session, dataset: str) -> list[ManifestImage]:
    """Return every picture of a dataset that takes part, variants too, with scenes made unique over all films.

    Originals take part when they are active, variants when their original does and they were not taken down.
    """
    rows = [row for row in _rows(session, dataset) if row.state != ImageState.REMOVED]
    parents = {row.id: row.parent_id for row in rows}
    states = {row.id: row.state for row in rows}
    return [_picture(row) for row in rows if states.get(_root(row.id, parents)) == ImageState.ACTIVE]


def left_out(session: Session, dataset: str) -> dict[str, int]:
    """Return how many originals of a dataset take no part, by state."""
    query = (
        sa.select(Image.state, sa.func.count())
        .where(Image.dataset == dataset, Image.parent_id.is_(None), Image.state != ImageState.ACTIVE)
        .group_by(Image.state)
        .order_by(Image.state)
    )
    return {row.state: row[1] for row in session.execute(query)}


def pins(session: Session, dataset: str) -> list[Pin]:
    """Return a dataset's pins, the oldest first."""
    names = ("id", "side", "movie_id", "scene", "start_seconds", "end_seconds", "image_id")
    query = sa.select(SplitPin).where(SplitPin.dataset == dataset).order_by(SplitPin.id)
    return [Pin(**{name: getattr(row, name) for name in names}) for row in session.scalars(query)]


def _rows(session: Session, dataset: str) -> Sequence[sa.Row[Any]]:
    columns = [getattr(Image, name) for name in (*_FIELDS, *_ORIGIN, "state", "scene")]
    return session.execute(sa.select(*columns).where(Image.dataset == dataset).order_by(Image.id)).all()


def _picture(row: sa.Row[Any]) -> ManifestImage:
    names = (*_FIELDS, *_ORIGIN) if row.parent_id is None else _FIELDS
    facts = {name: getattr(row, name) for name in names}
    scene = f"{row.movie_id}:{row.scene}" if row.movie_id is not None and row.scene is not None else None
    return ManifestImage(scene=scene, **facts)


def _root(name: str, parents: dict[str, str | None]) -> str:
    while (parent := parents.get(name)) is not None:
        name = parent
    return name


def version(session: Session, version_id: str) -> DatasetVersion:
    """Raises NotFound."""
    found = session.get(DatasetVersion, version_id)
    if found is None:
        raise NotFound(f"There is no dataset version {version_id}; build one with POST /v1/dataset-versions.")
    return found


def whole_version(session: Session, version_id: str) -> DatasetVersion:
    """Return a version whose pictures all stand. Raises NotFound, and Unprocessable where some were taken down."""
    found = version(session, version_id)
    require_whole(found)
    return found


def require_whole(version: DatasetVersion) -> None:
    """Raise Unprocessable when pictures of a version were taken down."""
    if version.takedowns:
        raise Unprocessable(
            f"Dataset version {version.id} holds pictures that were taken down since "
            f"({len(version.takedowns)} take-down(s)); build a new version."
        )


def trainable(version: DatasetVersion, *, allow_uncertified: bool) -> None:
    """Raise Unprocessable unless a version may be trained on: certified, or allowed not to be, and whole."""
    require_whole(version)
    proof = SplitCertificate.model_validate(version.certificate)
    if not proof.certified and not allow_uncertified:
        raise Unprocessable(
            f"Dataset version {version.id} is not certified: {why_uncertified(proof)}. Build a new one, or send "
            "allow_uncertified: true; the model will say so."
        )


def training(session: Session, job_id: str) -> Job:
    """Return a training's job. Raises NotFound."""
    job = session.get(Job, job_id)
    if job is None or job.kind != TRAIN_MODEL.name:
        raise NotFound(f"There is no training {job_id}.")
    return job


def last_checkpoint(session: Session, job_id: str) -> TrainingCheckpoint | None:
    row = session.get(TrainingState, job_id)
    return TrainingCheckpoint.model_validate(row.checkpoint) if row and row.checkpoint else None


def resumable(session: Session, job_id: str) -> TrainingCheckpoint:
    """Return where a training that has ended before its time can go on. Raises NotFound, Conflict."""
    job = training(session, job_id)
    if job.state not in ("failed", "canceled"):
        raise Conflict(f"The training is {job.state}; only a failed or canceled one can be resumed.")
    found = last_checkpoint(session, job_id)
    if found is None:
        raise Conflict(
            f"Training {job_id} left no checkpoint; start it anew with POST /v1/jobs/{job_id}/replay."
        )
    return found


def training_metrics(session: Session, job_id: str) -> Sequence[TrainingMetrics]:
    """Return what a training has told of its stages, in their order; none before its first batch."""
    query = sa.select(TrainingMetrics).filter_by(job_id=job_id).order_by(TrainingMetrics.number)
    return session.scalars(query).all()


def wish_stop(session: Session, job_id: str) -> None:
    """Let a training end after the epoch that it is in."""
    row = session.get(TrainingState, job_id)
    if row is None:
        session.add(TrainingState(job_id=job_id, stop_after_epoch=True))
    else:
        row.stop_after_epoch = True


def write_version(
    session: Session, result: BuildDatasetVersionResult, *, dataset: str, images: Set[str], job_id: str
) -> None:
    """Add a version. ``images`` are the ids in its manifest: those that were taken down since are named in the row."""
    locks.hold_off_removals(session)
    gone = (
        sa.select(Takedown.id, Takedown.image_id)
        .join(Image, Image.id == Takedown.image_id)
        .where(Image.dataset == dataset)
        .order_by(Takedown.id)
    )
    session.add(
        DatasetVersion(
            id=result.dataset_version_id,
            dataset=dataset,
            manifest=result.manifest.model_dump(mode="json"),
            manifest_sha256=result.manifest.sha256,
            classes=list(result.classes),
            counts=result.images,
            certificate=result.certificate.model_dump(mode="json"),
            certificate_file=result.certificate_file.model_dump(mode="json", exclude={"url"})
            if result.certificate_file
            else None,
            left_out=result.left_out,
            excluded=result.excluded,
            takedowns=[row.id for row in session.execute(gone) if row.image_id in images],
            job_id=job_id,
        )
    )


def write_model(
    session: Session, result: TrainModelResult, card: ModelCard, *, job_id: str, serve: bool
) -> None:
    """Register a model. With ``serve`` it is promoted if its gates let it pass; ``result`` says what came of that."""
    locks.registry_alone(session)
    # A picture may have been taken down while this was training; the lock lets either see the other.
    held = session.get_one(DatasetVersion, result.dataset_version_id, with_for_update=True)
    model = TrainedModel(
        id=result.model_id,
        dataset_version_id=result.dataset_version_id,
        architecture=result.architecture,
        recipe=result.recipe,
        card=card.model_dump(mode="json"),
        files=_plain(result.files),
        metrics={name: metrics.model_dump(mode="json") for name, metrics in result.metrics.items()},
        takedowns=list(held.takedowns),
        job_id=job_id,
    )
    session.add(model)
    if model.takedowns:
        drop_report(session, model)
    session.flush()
    if not serve:
        return
    owner = session.get_one(Job, job_id).owner
    why = registry.offer(session, result.model_id, by=owner, reason=f"training {job_id} with activate")
    result.serves = why is None
    if why is not None:
        result.notes.append(why)


def _plain(files: dict[str, StoredFile]) -> dict[str, Any]:
    return {name: file.model_dump(mode="json", exclude={"url"}) for name, file in files.items()}
