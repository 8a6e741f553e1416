"""Tells webhooks what is due: claims deliveries, signs and sends them, and notes what was answered.

``Sender`` runs as a thread of the reaper's process. Any number may run: a delivery is taken by a compare-and-set that
moves when it is next due, so that one whose sender was killed is sent again, under the same id.
"""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from reel_shared import webhooks
from reel_shared.connection import Refused
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import ApiKey, Job, WebhookDelivery, WebhookEndpoint, utcnow
from reel_shared.errors import DatabaseUnavailable
from reel_shared.outgoing import Guard
from reel_shared.settings import settings
from reel_shared.telemetry import DELIVERIES
from reel_shared.web.envelope import envelope, timestamp

log = structlog.get_logger(__name__)
LOOK_SECONDS = 1.0
THREADS = 8
AT_ONCE = 4
"""So many to one endpoint; to one that fails, one: who is slow to fail must not keep others waiting."""
IN_HAND = 3.0
"""Times as long as a request may take, until a delivery that was taken counts as never sent."""
FACTOR = 4.0
GONE = 410


@cache
def guard() -> Guard:
    """Return what knows the addresses that may be called."""
    return Guard(allowed_hosts=settings().webhooks.allowed_hosts)


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that this process has in hand until ``until``, which fences what it notes."""

    id: str
    until: datetime
    endpoint_id: str
    url: str
    secrets: tuple[str, ...]
    """The newest first; each gives a signature of its own."""
    event: str
    job_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one try."""

    status: int | None
    seconds: float
    error: str

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """Looks for what is due and sends it, until ``stop``."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook")
        self._busy: dict[Future[None], str] = {}
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more, and wait for what is being sent."""
        self._stopping.set()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            begun: list[Future[None]] = []
            try:
                begun = self.step()
            except DatabaseUnavailable as error:
                log.warning("webhooks.wait", reason=str(error))
            except Exception:  # one bad row must not keep every other from being told
                log.exception("webhooks.step_failed")
            if begun:  # there may be more: go on as soon as a thread is free
                wait(begun, LOOK_SECONDS, FIRST_COMPLETED)
            else:
                self._stopping.wait(LOOK_SECONDS)

    def step(self) -> list[Future[None]]:
        """Begin to send what is due, as far as there are threads for it; returns what was begun."""
        self._busy = {future: name for future, name in self._busy.items() if not future.done()}
        begun = []
        for endpoint_id, failing in _endpoints_due():
            free = min(
                (1 if failing else AT_ONCE) - sum(name == endpoint_id for name in self._busy.values()),
                THREADS - len(self._busy),
            )
            for taken in _take(endpoint_id, free) if free > 0 else []:
                future = self._pool.submit(_deliver_or_say, taken)
                self._busy[future] = endpoint_id
                begun.append(future)
        return begun


def _endpoints_due() -> list[tuple[str, bool]]:
    """Return the endpoints to which something is due and that may be told, and whether they fail."""
    with reading() as session:
        now = utcnow()
        waiting = sa.exists().where(
            WebhookDelivery.endpoint_id == WebhookEndpoint.id,
            WebhookDelivery.state == "pending",
            WebhookDelivery.next_at <= now,
        )
        query = (
            sa.select(WebhookEndpoint.id, WebhookEndpoint.failing_since)
            .join(ApiKey, ApiKey.id == WebhookEndpoint.owner)
            .where(WebhookEndpoint.disabled_at.is_(None), webhooks.key_holds(now), waiting)
        )
        found = [(endpoint_id, since is not None) for endpoint_id, since in session.execute(query)]
    random.shuffle(found)
    return found


def _take(endpoint_id: str, count: int) -> list[Taken]:
    """Take up to so many due deliveries, the oldest first; what another sender took meanwhile is left out."""
    now = utcnow()
    until = now + timedelta(seconds=IN_HAND * settings().webhooks.timeout_seconds)
    due = sa.and_(WebhookDelivery.state == "pending", WebhookDelivery.next_at <= now)
    with transaction() as session:
        endpoint = session.get(WebhookEndpoint, endpoint_id)
        if endpoint is None:
            return []
        oldest = (
            sa.select(WebhookDelivery.id)
            .where(WebhookDelivery.endpoint_id == endpoint_id, due)
            .order_by(WebhookDelivery.next_at)
            .limit(count)
        )
        rows = session.execute(
            sa.update(WebhookDelivery)
            .where(WebhookDelivery.id.in_(oldest), due)
            .values(next_at=until)
            .returning(
                WebhookDelivery.id, WebhookDelivery.event, WebhookDelivery.job_id, WebhookDelivery.created_at
            )
            .execution_options(synchronize_session=False)
        ).all()
        return [
            Taken(
                row.id,
                until,
                endpoint_id,
                endpoint.url,
                webhooks.signing_secrets(endpoint),
                row.event,
                row.job_id,
                row.created_at,
            )
            for row in rows
        ]


def _deliver_or_say(taken: Taken) -> None:
    """Deliver one; what cannot be noted is sent again when it counts as never sent."""
    try:
        deliver(taken)
    except DatabaseUnavailable as error:
        log.warning("webhook.not_noted", delivery=taken.id, reason=str(error))
    except Exception:
        log.exception("webhook.failed", delivery=taken.id)


def deliver(taken: Taken) -> None:
    """Send one and note what was answered."""
    body = payload(taken)
    told = _send(taken, body) if body is not None else Told(None, 0.0, "The job is no longer there.")
    with transaction() as session:
        note(session, taken, told)
    DELIVERIES.labels(outcome="delivered" if told.good else "refused").inc()
    log.info(
        "webhook.sent", delivery=taken.id, endpoint=taken.endpoint_id, status=told.status, error=told.error
    )


def payload(taken: Taken) -> bytes | None:
    """Return what is sent: the job as ``GET /v1/jobs/{id}`` shows it now, in an envelope of Standard Webhooks."""
    data: dict[str, Any] = {"endpoint_id": taken.endpoint_id}
    if taken.job_id is not None:
        with reading() as session:
            job = session.get(Job, taken.job_id)
            if job is None:
                return None
            data = envelope(job)
    whole = {"type": taken.event, "timestamp": timestamp(taken.created_at), "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _send(taken: Taken, body: bytes) -> Told:
    now, began = utcnow(), time.monotonic()
    text = body.decode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Reelsight-Webhooks/{version('reel-shared')}",
        "webhook-id": taken.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(one).sign(taken.id, now, text) for one in taken.secrets),
    }
    try:
        # The address is looked at again: settings change, and names lead elsewhere.
        target = guard().checked(taken.url)
        deadline = began + settings().webhooks.timeout_seconds
        answer = guard().ask(
            target, method="POST", content=body, deadline=deadline, headers=headers, max_bytes=None
        )
    except Refused as refused:
        return Told(None, time.monotonic() - began, refused.detail)
    told = "" if 200 <= answer.status < 300 else f"The receiver answered {answer.status}."
    return Told(answer.status, time.monotonic() - began, told)


def note(session: Session, taken: Taken, told: Told) -> None:
    """Write down what came of a try: whether it is done, when it is due again, what that says of its endpoint."""
    row = session.scalar(
        sa.select(WebhookDelivery)
        .where(WebhookDelivery.id == taken.id, WebhookDelivery.next_at == taken.until)
        .with_for_update()
    )
    endpoint = session.get(WebhookEndpoint, taken.endpoint_id, with_for_update=True)
    if row is None or endpoint is None:
        return  # deleted, or asked for anew by hand, while it was sent
    now = utcnow()
    row.attempt += 1
    tried = {
        "at": timestamp(now),
        "status": told.status,
        "seconds": round(told.seconds, 3),
        "error": told.error,
    }
    row.tries = [*row.tries, tried]
    if told.good:
        row.state, row.delivered_at, row.next_at = "delivered", now, None
        endpoint.failing_since = None
        return
    if row.attempt >= settings().webhooks.attempts:
        row.state, row.next_at = "failed", None
    else:
        row.next_at = now + timedelta(seconds=backoff(row.attempt))
    endpoint.failing_since = endpoint.failing_since or now
    _disable_hopeless(endpoint, told, now)


def _disable_hopeless(endpoint: WebhookEndpoint, told: Told, now: datetime) -> None:
    hours = settings().webhooks.disable_after_hours
    if told.status == GONE:
        webhooks.disable(endpoint, "It answered 410: it is gone.")
    elif endpoint.failing_since and endpoint.failing_since <= now - timedelta(hours=hours):
        webhooks.disable(endpoint, f"Nothing but failures for {hours:g} hours; the last: {told.error}"[:300])
    if endpoint.disabled_at is not None:
        log.warning("webhook.disabled", endpoint=endpoint.id, reason=endpoint.disabled_reason)


def backoff(attempt: int) -> float:
    """Seconds until the next try: four times as long each time, with jitter on its upper tenth."""
    hooks = settings().webhooks
    ceiling = min(hooks.retry_max_seconds, hooks.retry_base_seconds * FACTOR ** (attempt - 1))
    return ceiling * random.uniform(0.9, 1.0)
