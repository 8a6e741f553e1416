"""Rings the bell: writes messages to the queues' lists in Redis, as Celery would write them. Called by ``outbox``.

Celery itself makes the message of each kind, once; from then on only the job's id changes. To have each message made
and published anew cost an API several times what its way to Redis costs.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from reel_shared.celery_app import celery_app
from reel_shared.contracts import KINDS
from reel_shared.errors import Unavailable
from reel_shared.settings import settings

if TYPE_CHECKING:
    from redis import Redis

_JOB = "job_of_this_message"
_BODY = "body_of_this_message"


class _Message(NamedTuple):
    """A kind's message, with ``_JOB`` where the job's id goes and ``_BODY`` where the encoded body does."""

    envelope: str
    body: str

    def of(self, job_id: str) -> str:
        body = base64.b64encode(self.body.replace(_JOB, job_id).encode()).decode()
        return self.envelope.replace(_JOB, job_id).replace(_BODY, body)


def send(kind: str, job_ids: Sequence[str]) -> None:
    """Ring for jobs of one kind, in their order and in one round trip.

    Raises:
        Unavailable: the broker does not answer; the outbox keeps the messages.
    """
    message = _message(kind)
    with _broker("The queue does not answer; the job is kept and will be sent later.") as broker:
        broker.lpush(KINDS[kind].queue, *map(message.of, job_ids))


def waiting_messages(queue: str) -> int:
    """How many messages lie in the broker's queue, not counting those already handed to a worker.

    Raises:
        Unavailable: the broker does not answer.
    """
    with _broker("The queue does not answer.") as broker:
        return int(broker.llen(queue))


@cache
def _message(kind: str) -> _Message:
    """Have Celery make it, in the form of its protocol 2 and of kombu's lists in Redis.

    https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    made = celery_app().amqp.as_task_v2(_JOB, kind, args=(_JOB,))
    envelope = {
        "body": _BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {**made.headers, "ignore_result": None},  # as the worker's own setting says
        "properties": {
            **made.properties,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": KINDS[kind].queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": _JOB,
        },
    }
    return _Message(json.dumps(envelope), json.dumps(made.body))


@contextmanager
def _broker(refusal: str) -> Iterator[Redis]:
    from redis.exceptions import RedisError

    try:
        yield _connections()
    except (RedisError, OSError) as error:
        raise Unavailable(refusal) from error


@cache
def _connections() -> Redis:
    """Return connections that give up at once: the outbox is the patient one, not the request."""
    # a tenth of a second of CPU to import, that starting to serve need not wait for
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(
        settings().redis.url.get_secret_value(),
        socket_connect_timeout=1,
        socket_timeout=2,
        # once more, for the first to ask after a restart of Redis meets a connection that is dead
        retry=Retry(NoBackoff(), 1),
    )
