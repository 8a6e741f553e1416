"""Logs (structlog: JSON, or coloured on a terminal) and Prometheus metrics, set up once per process."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from functools import partial
from typing import TextIO

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

# The two of Celery that say of each task what ``job.started`` and ``job.ended`` say of its job are among them.
_NOISY = (
    "httpx",
    "httpcore",
    "urllib3",
    "celery.bootsteps",
    "celery.worker.strategy",
    "celery.app.trace",
    "kombu",
    "amqp",
)


class _Lines:
    """A logger that writes whole lines; a stream that takes none costs the line, never what the line is about."""

    def __init__(self, file: TextIO, *_name: str) -> None:
        self._file = file

    def _write(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._file.write(line + "\n")
            self._file.flush()

    debug = info = warning = error = critical = _write


def configure_logging() -> None:
    """Send structlog and the standard library's logs to stderr in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    json = settings().log_json or not sys.stderr.isatty()
    renderer: Processor = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer()
    # Ours are written as they come: by way of the standard library's logging a line costs several times as much, and
    # every request and every job has one or two.
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        logger_factory=partial(_Lines, sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(settings().log_level),
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
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
