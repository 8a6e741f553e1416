"""Logs (structlog: JSON, or coloured on a terminal) and Prometheus metrics, set up once per process."""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import Counter, Gauge, Histogram
from structlog.typing import Processor

from reel_shared.settings import settings

JOBS = Counter("reel_jobs", "Transitions of jobs that a worker saw", ["kind", "state"])
JOB_SECONDS = Histogram(
    "reel_job_seconds",
    "From claim to end of an attempt",
    ["kind"],
    buckets=(0.05, 0.2, 1, 5, 20, 60, 300, 1800, 7200, 36000),
)
WAITING = Gauge("reel_jobs_waiting", "Jobs that wait for a worker, seen by the reaper", ["queue"])
OLDEST = Gauge(
    "reel_jobs_oldest_seconds", "How long the oldest of these has waited; 0 without any", ["queue"]
)
LEASES_LOST = Counter(
    "reel_leases_lost", "Leases that ran out because a worker died or stood still, seen by the reaper"
)
HELD = Gauge("reel_jobs_held", "Jobs that wait for their queue to be resumed, seen by the reaper", ["queue"])
DELIVERIES = Counter("reel_webhook_deliveries", "Tries to tell a webhook", ["outcome"])
REQUEST_SECONDS = Histogram("reel_request_seconds", "HTTP requests", ["method", "route", "status"])


def configure_logging() -> None:
    """Send structlog and the standard library's logs to stderr in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    json = settings().log_json or not sys.stderr.isatty()
    renderer: Processor = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings().log_level)
    for noisy in ("httpx", "httpcore", "urllib3", "celery.bootsteps", "kombu", "amqp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
