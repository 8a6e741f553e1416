"""The trainer's rows: pictures of a dataset in, dataset versions and models out; called by ``tasks`` and ``api``."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import ACTIVE, BuildDatasetVersionResult, StoredFile, TrainModelResult
from reel_shared.db.models import DatasetVersion, Image, ModelAlias, TrainedModel, utcnow
from reel_shared.errors import NotFound
from reel_shared.manifest import ManifestImage
from reel_shared.model_card import ModelCard

_FIELDS = (
    "id",
    "key",
    "sha256",
    "label",
    "source",
    "variant",
    "parent_id",
    "style",
    "phash",
    "width",
    "height",
)


def pictures(session: Session, dataset: str) -> list[ManifestImage]:
    """Return every picture of a dataset, variants too, with scenes made unique over all films."""
    rows = session.scalars(sa.select(Image).where(Image.dataset == dataset).order_by(Image.id))
    return [
        ManifestImage(scene=_scene(row), **{name: getattr(row, name) for name in _FIELDS}) for row in rows
    ]


def _scene(row: Image) -> str | None:
    return f"{row.movie_id}:{row.scene}" if row.movie_id is not None and row.scene is not None else None


def version(session: Session, version_id: str) -> DatasetVersion:
    """Raises NotFound."""
    found = session.get(DatasetVersion, version_id)
    if found is None:
        raise NotFound(f"There is no dataset version {version_id}; build one with POST /v1/dataset-versions.")
    return found


def active_id(session: Session) -> str | None:
    alias = session.get(ModelAlias, ACTIVE)
    return alias.model_id if alias else None


def activate(session: Session, model_id: str) -> None:
    """Let this model serve from now on."""
    session.merge(ModelAlias(name=ACTIVE, model_id=model_id, updated_at=utcnow()))


def write_version(session: Session, result: BuildDatasetVersionResult, *, dataset: str, job_id: str) -> None:
    session.add(
        DatasetVersion(
            id=result.dataset_version_id,
            dataset=dataset,
            manifest=result.manifest.model_dump(mode="json"),
            manifest_sha256=result.manifest.sha256,
            classes=list(result.classes),
            counts=result.images,
            certificate=result.certificate.model_dump(mode="json"),
            job_id=job_id,
        )
    )


def write_model(
    session: Session, result: TrainModelResult, card: ModelCard, *, job_id: str, serve: bool
) -> None:
    session.add(
        TrainedModel(
            id=result.model_id,
            dataset_version_id=result.dataset_version_id,
            architecture=result.architecture,
            recipe=result.recipe,
            card=card.model_dump(mode="json"),
            files=_plain(result.files),
            metrics={name: metrics.model_dump(mode="json") for name, metrics in result.metrics.items()},
            job_id=job_id,
        )
    )
    session.flush()
    if serve:
        activate(session, result.model_id)


def _plain(files: dict[str, StoredFile]) -> dict[str, Any]:
    return {name: file.model_dump(mode="json", exclude={"url"}) for name, file in files.items()}
