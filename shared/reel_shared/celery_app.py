"""The Celery application: queues, delivery settings, and ``send``, which rings the bell for one job.

Messages are JSON and hold a job id, nothing else. The database says what is to be done; see ``runner``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from reel_shared.contracts import KINDS, QUEUES
from reel_shared.errors import Unavailable
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
    # Late, here and below: Celery takes a third of an API's start, and only what sends or works needs it.
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
            "visibility_timeout": redis.visibility_timeout_seconds,
            # kombu looks for undelivered messages every interval x throttle seconds; its default is 100 s.
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 15,
        },
    )
    return app


def send(kind: str, job_id: str) -> None:
    """Ring the bell for one job.

    Raises:
        Unavailable: the broker does not answer; the outbox keeps the message.
    """
    with _producer("The queue does not answer; the job is kept and will be sent later.") as producer:
        celery_app().send_task(kind, args=[job_id], queue=KINDS[kind].queue, producer=producer, retry=False)


def waiting_messages(queue: str) -> int:
    """How many messages lie in the broker's queue, not counting those already handed to a worker.

    Raises:
        Unavailable: the broker does not answer.
    """
    with _producer("The queue does not answer.") as producer:
        return int(producer.channel.client.llen(queue))


@contextmanager
def _producer(refusal: str) -> Iterator[Any]:
    from reel_shared.broker import BROKER_ERRORS

    try:
        with _making:
            senders = _senders()
        with senders.acquire(block=True) as producer:
            yield producer
    except BROKER_ERRORS as error:
        raise Unavailable(refusal) from error


@cache
def _senders() -> Any:
    """Connections for sending that give up at once: the outbox is the patient one, not the request."""
    from kombu import pools

    patience = {"max_retries": 0, "socket_connect_timeout": 1, "socket_timeout": 2}
    return pools.producers[celery_app().connection_for_write(transport_options=patience)]
