"""The worker process of a service: one job at a time in one process; replicas make it more.

Each service's ``worker.py`` imports its ``tasks`` and calls ``main`` with the name of its queue.
"""

from __future__ import annotations

from reel_shared import tracing
from reel_shared.celery_app import celery_app
from reel_shared.probes import serve_probes
from reel_shared.scratch import sweep
from reel_shared.settings import settings
from reel_shared.telemetry import configure_logging


def main(queue: str) -> None:
    """Consume ``queue`` until SIGTERM."""
    configure_logging()
    tracing.configure(f"reelsight-{queue}-worker")
    serve_probes()
    sweep()
    celery_app().worker_main(
        [
            "--quiet",
            "worker",
            "--pool=solo",
            "--concurrency=1",
            f"--queues={queue}",
            f"--hostname={queue}@%h",
            f"--loglevel={settings().log_level}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
