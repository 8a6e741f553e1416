"""Dataset versions and models: what trainings read and make, which model serves, and which ones did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from reel_shared.db.models.base import Base, utcnow


class DatasetVersion(Base):
    """Immutable: the manifest in the bucket is the content, this row finds it."""

    __tablename__ = "dataset_versions"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64), index=True)
    manifest: Mapped[dict[str, Any]]
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    classes: Mapped[list[Any]]
    counts: Mapped[dict[str, Any]]
    certificate: Mapped[dict[str, Any]]
    certificate_file: Mapped[dict[str, Any] | None]
    """The certificate at full length, signed by its hash; None for versions from before it was stored."""
    left_out: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Originals of the dataset that took no part, by state."""
    excluded: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Pictures in it that neither train nor judge, by reason."""
    takedowns: Mapped[list[Any]] = mapped_column(default=list)
    """Ids of the take-downs of pictures that this version holds."""
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class TrainedModel(Base):
    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(default=text("(SELECT COALESCE(MAX(number), 0) + 1 FROM models)"))
    """Its version among all models, counted from 1; add models under ``locks.registry_alone``."""
    dataset_version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"))
    architecture: Mapped[str] = mapped_column(String(64))
    recipe: Mapped[str] = mapped_column(String(64))
    card: Mapped[dict[str, Any]]
    files: Mapped[dict[str, Any]]
    """File name -> StoredFile; `model.json`, `weights.safetensors`, `model.onnx`."""
    metrics: Mapped[dict[str, Any]]
    takedowns: Mapped[list[Any]] = mapped_column(default=list)
    """Ids of the take-downs of pictures that it was trained or judged on."""
    tags: Mapped[list[Any]] = mapped_column(default=list)
    remarks: Mapped[list[Any]] = mapped_column(default=list)
    """What people noted about it, the oldest first: ``text``, ``by``, ``at``."""
    forced: Mapped[dict[str, Any] | None]
    """Its last promotion against failed gates: ``reason``, ``by``, ``at``, ``gates``."""
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        Index("ix_models_created", "created_at", "id"),
        Index("uq_models_number", "number", unique=True),
    )


class TrainingState(Base):
    """How far a training has come, and what was asked of it meanwhile; gone when it has succeeded."""

    __tablename__ = "training_states"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    checkpoint: Mapped[dict[str, Any] | None]
    """The last one, a ``TrainingCheckpoint``; its files lie under ``checkpoints/<job id>/``."""
    stop_after_epoch: Mapped[bool] = mapped_column(default=False)


class TrainingMetrics(Base):
    """What one stage of a training told of itself while it ran; stays, however the training ended."""

    __tablename__ = "training_metrics"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Place of the stage in the recipe, from 0."""
    stage: Mapped[str] = mapped_column(String(64))
    points: Mapped[list[Any]]
    """Thinned to a few hundred, a ``CurvePoint`` each."""
    epochs: Mapped[list[Any]]
    now: Mapped[dict[str, Any] | None]
    """Speed, time left and memory, as they were when they were told last."""
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class ModelAlias(Base):
    """A name that points at one model: `active` serves, `candidate` is to serve next, `shadow` is asked beside it."""

    __tablename__ = "model_aliases"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    share: Mapped[float | None]
    """Of the shadow: for what part of the live predictions it is asked too."""
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class AliasChange(Base):
    """One move of an alias, never altered: who pointed it from what to what, and why."""

    __tablename__ = "alias_changes"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    alias: Mapped[str] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(16))
    """An ``AliasAction``."""
    from_model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    to_model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    by: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(String(500), default="")
    failed_gates: Mapped[list[Any]] = mapped_column(default=list)
    """Names of the gates that were overruled."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        Index("ix_alias_changes_created", "created_at", "id"),
        Index("ix_alias_changes_alias", "alias", "created_at"),
    )


class ShadowComparison(Base):
    """How the shadow compares with the active model: at most one row. Another pair begins another one."""

    __tablename__ = "shadow_comparisons"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    active_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    shadow_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    asked: Mapped[int] = mapped_column(default=0)
    agreed: Mapped[int] = mapped_column(default=0)
    confidence: Mapped[float] = mapped_column(default=0.0)
    """Sum of the differences of confidence, shadow less active."""
    dropped: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    pairs: Mapped[list[Any]] = mapped_column(default=list)
    """``[active's label, shadow's label, how often]`` where they differ; a bounded number of pairs."""
    other_pairs: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
