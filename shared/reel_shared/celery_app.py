"""The Celery application: queues and delivery settings. ``bell`` sends what it delivers.

Messages are JSON and hold a job id, nothing else. The database says what is to be done; see ``runner``.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from reel_shared.contracts import QUEUES
from reel_shared.settings import settings

if TYPE_CHECKING:
    from celery import Celery


_making = threading.RLock()
"""An API's first requests come at once, and neither Celery's lazy module nor a cache minds threads."""


def celery_app() -> Celery:
    """Return this process's one application."""
    with _making:
        return _celery_app()


@cache
def _celery_app() -> Celery:
    # Late: Celery takes a third of an API's start, and only what sends or works needs it.
    from celery import Celery
    from kombu import Exchange, Queue

    redis = settings().redis
    app = Celery("reelsight", broker=redis.url.get_secret_value(), set_as_current=False)
    app.conf.update(
        broker_transport="reel_shared.broker:Transport",
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # Without a routing key of its own each queue would be bound to one shared key and get every message.
        task_queues=[Queue(name, Exchange("reelsight", type="direct"), routing_key=name) for name in QUEUES],
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 15,
        },
    )
    return app
