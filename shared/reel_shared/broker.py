"""Celery's Redis transport, mended: it outlives rubbish in a queue and a broker that dies during a job.

``celery_app`` names it as the transport of every connection.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

import structlog
from kombu.exceptions import KombuError
from kombu.transport import redis, virtual
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
BROKER_ERRORS = (KombuError, RedisError, OSError)


class QoS(redis.QoS):
    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, and forget it even when the broker cannot be told.

        Else it would count against the prefetch limit for ever, and the worker would never ask for another
        message: alive, idle, and deaf. The broker delivers the message again; the claim refuses it.
        """
        try:
            super().ack(delivery_tag)
        except BROKER_ERRORS:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        """Read one message; one that cannot be understood is dropped, where kombu would end the worker."""
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (*BROKER_ERRORS, Empty):
            raise
        except Exception as error:
            log.warning("queue.message_refused", reason=f"{type(error).__name__}: {str(error)[:200]}")
            qos: Any = self.qos
            for delivery_tag in set(qos._delivered) - qos._dirty:
                qos.ack(delivery_tag)
            raise Empty from None


class Transport(redis.Transport):
    Channel = Channel
