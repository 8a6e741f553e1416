"""Endpoints that are told of jobs that end: their rows, and a delivery's, written in the transaction of the end.

Signed as https://www.standardwebhooks.com has it. Called by ``jobs``, the API and the pages; ``deliveries`` sends.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, get_args

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import KINDS
from reel_shared.db.models import ApiKey, Job, WebhookDelivery, WebhookEndpoint, utcnow
from reel_shared.errors import Conflict, Forbidden, NotFound, Unprocessable
from reel_shared.ids import new_id
from reel_shared.security import Principal
from reel_shared.settings import settings

Event = Literal["job.succeeded", "job.failed", "job.canceled"]
EVENTS: tuple[Event, ...] = get_args(Event)
PING = "ping"
MOST_OF_A_KEY = 20
"""Endpoints of one key."""
MOST_OLD_SECRETS = 4
"""So many may sign beside the newest one at once: every signature makes the header longer."""
BATCH = 1000
"""Old deliveries deleted in one turn."""


def add(
    session: Session,
    principal: Principal,
    url: str,
    *,
    events: Sequence[str] = EVENTS,
    kinds: Sequence[str] = (),
    description: str = "",
    all_jobs: bool = False,
) -> WebhookEndpoint:
    """Add an endpoint of the principal's key; its ``secret`` is shown once, by the caller.

    Raises:
        Unprocessable: no address that may be called, no event, a kind that does not exist.
        Forbidden: all jobs for a key that may not read them.
        Conflict: the key has as many as it may.
    """
    require_callable(url)
    if unknown := set(kinds) - set(KINDS):
        raise Unprocessable(
            f"There is no job kind {', '.join(sorted(unknown))}; the kinds are {', '.join(KINDS)}."
        )
    if all_jobs and not principal.may("read"):
        raise Forbidden("Being told of everybody's jobs needs the scope 'read'.")
    had = session.scalar(
        sa.select(sa.func.count()).select_from(WebhookEndpoint).where(WebhookEndpoint.owner == principal.id)
    )
    if (had or 0) >= MOST_OF_A_KEY:
        raise Conflict(f"This key has {MOST_OF_A_KEY} endpoints, the most that one may have; delete one.")
    row = WebhookEndpoint(
        id=new_id("whe"),
        owner=principal.id,
        url=url.strip(),
        description=description,
        events=[name for name in EVENTS if name in events],
        kinds=sorted(set(kinds)),
        all_jobs=all_jobs,
        secret=_new_secret(),
    )
    session.add(row)
    session.flush()
    return row


def require_callable(url: str) -> None:
    """Refuse an address that is never called: of the inside, without TLS, on an odd port. Asks no name server.

    Raises:
        Unprocessable: with what is wrong.
    """
    # What calls takes a while to import, and an API starts without it.
    from reel_shared.connection import Refused
    from reel_shared.deliveries import guard

    try:
        target = guard().checked(url)
    except Refused as refused:
        raise Unprocessable(refused.detail, reason=refused.reason) from refused
    if target.scheme != "https" and not guard().exempt(target):
        raise Unprocessable(
            "Results go to https addresses only; REEL_WEBHOOKS__ALLOWED_HOSTS names exceptions."
        )


def get(session: Session, principal: Principal, endpoint_id: str) -> WebhookEndpoint:
    """Return an endpoint of the principal's, or anyone's for ``admin``. Raises NotFound."""
    row = session.get(WebhookEndpoint, endpoint_id)
    if row is None or not (principal.may("admin") or row.owner == principal.id):
        raise NotFound(f"There is no webhook endpoint {endpoint_id}.")
    return row


def delivery(session: Session, principal: Principal, delivery_id: str) -> WebhookDelivery:
    """Return a delivery of such an endpoint. Raises NotFound."""
    row = session.get(WebhookDelivery, delivery_id)
    if row is None:
        raise NotFound(f"There is no webhook delivery {delivery_id}.")
    get(session, principal, row.endpoint_id)
    return row


def visible(principal: Principal) -> sa.Select[WebhookEndpoint]:
    query = sa.select(WebhookEndpoint)
    return query if principal.may("admin") else query.where(WebhookEndpoint.owner == principal.id)


def delete(session: Session, row: WebhookEndpoint) -> None:
    """Delete an endpoint and what is known of its deliveries."""
    session.execute(sa.delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == row.id))
    session.delete(row)


def roll_secret(row: WebhookEndpoint, *, overlap_hours: float) -> str:
    """Give an endpoint a new secret and return it; the one before signs beside it for so long, so that none is missed.

    Args:
        overlap_hours: 0 for a secret that somebody else knows: it and all before it sign nothing any more.

    Raises:
        Conflict: too many old ones sign still.
    """
    now = utcnow()
    old = [one for one in row.old_secrets or [] if _holds(one, now)] if overlap_hours else []
    if len(old) >= MOST_OLD_SECRETS:
        raise Conflict(
            f"{MOST_OLD_SECRETS} earlier secrets sign still; wait for one to end, or end them with 0 hours."
        )
    if overlap_hours:
        old.append({"secret": row.secret, "until": (now + timedelta(hours=overlap_hours)).isoformat()})
    row.secret, row.old_secrets = _new_secret(), old or None
    return row.secret


def signing_secrets(row: WebhookEndpoint) -> tuple[str, ...]:
    """Return what a delivery is signed with now, the newest first."""
    now = utcnow()
    return (row.secret, *(one["secret"] for one in reversed(row.old_secrets or []) if _holds(one, now)))


def old_secrets_until(row: WebhookEndpoint) -> datetime | None:
    """Return when the newest secret alone will sign; None when that is so now."""
    now = utcnow()
    return max(
        (datetime.fromisoformat(one["until"]) for one in row.old_secrets or [] if _holds(one, now)),
        default=None,
    )


def _holds(old: Mapping[str, str], now: datetime) -> bool:
    return datetime.fromisoformat(old["until"]) > now


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def enable(row: WebhookEndpoint) -> None:
    """Send to it again, also what was still to be sent when it was disabled."""
    row.disabled_at, row.disabled_reason, row.failing_since = None, "", None


def disable(row: WebhookEndpoint, reason: str) -> None:
    """Send nothing to it, and note no more ends of jobs for it, until it is enabled. Twice changes nothing."""
    if row.disabled_at is None:
        row.disabled_at, row.disabled_reason = utcnow(), reason


def ping(session: Session, row: WebhookEndpoint) -> WebhookDelivery:
    """Note a test for an endpoint. Raises Conflict when it is disabled."""
    if row.disabled_at is not None:
        raise Conflict("The endpoint is disabled; enable it first.")
    made = _delivery(row.id, PING, None)
    session.add(made)
    session.flush()
    return made


def redeliver(session: Session, row: WebhookDelivery) -> WebhookDelivery:
    """Send a delivery again under its own id, which a receiver knows it by, with all its attempts before it.

    Raises:
        Conflict: it waits to be sent anyway, or its endpoint is disabled.
    """
    if session.get_one(WebhookEndpoint, row.endpoint_id).disabled_at is not None:
        raise Conflict("The endpoint is disabled; enable it first.")
    if row.state == "pending" and row.attempt == 0:
        raise Conflict("The delivery waits to be sent already.")
    row.state, row.attempt, row.next_at = "pending", 0, utcnow()
    return row


def note_end(session: Session, job_id: str, state: str) -> None:
    """Add a delivery for each endpoint that wants to be told that this job has ended so. Parts are not told."""
    now = utcnow()
    mine = sa.or_(WebhookEndpoint.all_jobs, WebhookEndpoint.owner == Job.owner)
    query = (
        sa.select(WebhookEndpoint.id, WebhookEndpoint.events, WebhookEndpoint.kinds, Job.kind)
        .join(Job, mine)
        .join(ApiKey, ApiKey.id == WebhookEndpoint.owner)
        .where(Job.id == job_id, Job.part.is_(None), WebhookEndpoint.disabled_at.is_(None), key_holds(now))
    )
    event = f"job.{state}"
    for row in session.connection().execute(query).all():
        if event in row.events and (not row.kinds or row.kind in row.kinds):
            session.add(_delivery(row.id, event, job_id))


def key_holds(now: datetime) -> sa.ColumnElement[bool]:
    """Whether the key of ``ApiKey`` is neither revoked nor expired."""
    return sa.and_(ApiKey.revoked_at.is_(None), sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now))


def _delivery(endpoint_id: str, event: str, job_id: str | None) -> WebhookDelivery:
    return WebhookDelivery(
        id=new_id("whd"), endpoint_id=endpoint_id, event=event, job_id=job_id, tries=[], next_at=utcnow()
    )


def forget_old(session: Session) -> int:
    """Delete deliveries older than ``webhooks.keep_days``; returns how many, at most ``BATCH``."""
    oldest = utcnow() - timedelta(days=settings().webhooks.keep_days)
    old = sa.select(WebhookDelivery.id).where(WebhookDelivery.created_at < oldest).limit(BATCH)
    found = session.scalars(old).all()
    session.execute(sa.delete(WebhookDelivery).where(WebhookDelivery.id.in_(found)))
    return len(found)
