"""All tables, one file per group."""

from reel_shared.db.models.access import ApiKey, IdempotencyRecord, KeyChange
from reel_shared.db.models.base import Base, utcnow
from reel_shared.db.models.curation import ImageChange, SplitPin, SubjectMark, Takedown
from reel_shared.db.models.feedback import Feedback
from reel_shared.db.models.jobs import Job, JobEvent, Lock, OutboxMessage, QueuePause
from reel_shared.db.models.pictures import Candidate, Collection, Image, Movie
from reel_shared.db.models.registry import (
    AliasChange,
    DatasetVersion,
    ModelAlias,
    ShadowComparison,
    TrainedModel,
    TrainingMetrics,
    TrainingState,
)
from reel_shared.db.models.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "AliasChange",
    "ApiKey",
    "Base",
    "Candidate",
    "Collection",
    "DatasetVersion",
    "Feedback",
    "IdempotencyRecord",
    "Image",
    "ImageChange",
    "Job",
    "JobEvent",
    "KeyChange",
    "Lock",
    "ModelAlias",
    "Movie",
    "OutboxMessage",
    "QueuePause",
    "ShadowComparison",
    "SplitPin",
    "SubjectMark",
    "Takedown",
    "TrainedModel",
    "TrainingMetrics",
    "TrainingState",
    "WebhookDelivery",
    "WebhookEndpoint",
    "utcnow",
]
