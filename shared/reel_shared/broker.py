"""Celery's Redis transport, mended: it outlives rubbish in a queue, and keeps no second book of what is being done.

``celery_app`` names it as the transport of every connection.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

import structlog
from kombu.exceptions import KombuError
from kombu.transport import redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
BROKER_ERRORS = (KombuError, RedisError, OSError)


class Channel(redis.Channel):
    # What is being worked on is in the database, with a lease. Kept in Redis as well it would cost each message two
    # round trips, and give a dead worker's job to nobody sooner; what is lost with a worker the reaper sends again.
    ack_emulation = False

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
