"""All tables, one file per group."""

from reel_shared.db.models.access import ApiKey, IdempotencyRecord
from reel_shared.db.models.base import Base, utcnow
from reel_shared.db.models.jobs import Job, JobEvent, Lock, OutboxMessage
from reel_shared.db.models.pictures import Collection, Image, Movie
from reel_shared.db.models.registry import DatasetVersion, ModelAlias, TrainedModel

__all__ = [
    "ApiKey",
    "Base",
    "Collection",
    "DatasetVersion",
    "IdempotencyRecord",
    "Image",
    "Job",
    "JobEvent",
    "Lock",
    "ModelAlias",
    "Movie",
    "OutboxMessage",
    "TrainedModel",
    "utcnow",
]
