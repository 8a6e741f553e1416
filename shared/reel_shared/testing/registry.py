"""Rows that only a training would write: a model and the dataset version it names, without either having been made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from reel_shared import jobs
from reel_shared.contracts import BUILD_DATASET_VERSION, BuildDatasetVersionRequest
from reel_shared.db.models import DatasetVersion, Job, ModelAlias, TrainedModel


def add_version(session: Session, version_id: str) -> Job:
    """Record an empty dataset version, unless it is there, and return a new job that could have built it."""
    job = jobs.submit(session, BUILD_DATASET_VERSION, BuildDatasetVersionRequest())
    if session.get(DatasetVersion, version_id) is None:
        session.add(
            DatasetVersion(
                id=version_id,
                dataset="default",
                manifest={},
                manifest_sha256="0" * 64,
                classes=[],
                counts={},
                certificate={},
                job_id=job.id,
            )
        )
        session.flush()
    return job


def add_model(
    session: Session,
    card: Mapping[str, Any],
    files: Mapping[str, Any],
    *,
    version_id: str,
    active: bool = True,
) -> None:
    """Record a model by its card and stored files, both as JSON, on a version of its own or an earlier one."""
    job = add_version(session, version_id)
    session.add(
        TrainedModel(
            id=card["id"],
            dataset_version_id=version_id,
            architecture=card["architecture"],
            recipe="none",
            card=dict(card),
            files=dict(files),
            metrics={},
            job_id=job.id,
        )
    )
    session.flush()
    if active:
        session.merge(ModelAlias(name="active", model_id=card["id"]))
