"""API keys: how they are made, stored (only as hashes), recognised and revoked; and who a caller then is.

Called by the web app's authentication, the key endpoints and the launcher that makes the first key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.db.engine import reading
from reel_shared.db.models import ApiKey, KeyChange, utcnow
from reel_shared.errors import NotFound, Unauthorized, Unprocessable
from reel_shared.ids import new_id

Scope = Literal["read", "submit", "admin", "demo"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
KeyAction = Literal["made", "revoked", "limited"]
CACHE_SECONDS = 5.0
"""For so long another process may still accept a key that was revoked here; this one refuses it at once."""

_TOKEN = re.compile(r"reel_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_CACHE_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: ``id`` owns the jobs submitted, ``scopes`` say what is allowed. ``admin`` allows everything."""

    id: str
    scopes: frozenset[str]
    limits: Mapping[str, int | None] | None = field(default=None, hash=False)
    """Of the key alone, as ``quotas.KeyLimits`` names them; None: as the deployment says."""

    def may(self, *scopes: str) -> bool:
        """Whether any one of ``scopes`` is held."""
        return "admin" in self.scopes or not self.scopes.isdisjoint(scopes)

    def sees(self, owner: str) -> bool:
        """Whether jobs of ``owner`` are visible: all with ``read``, otherwise only one's own."""
        return self.may("read") or owner == self.id


DEMO = Principal("demo", frozenset({"demo"}))
"""Everyone without a key, where the public demo is on."""


def create_key(
    session: Session,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    *,
    limits: Mapping[str, int | None] | None = None,
    by: str = "",
) -> tuple[ApiKey, str]:
    """Add a key to the caller's transaction; the token is returned once and stored nowhere.

    Args:
        limits: its own, by the names of ``quotas.KeyLimits``.
        by: the id of the key that asked for it; none: whoever runs the platform.

    Raises:
        Unprocessable: no scope, or one that does not exist, or an expiry that has passed.
    """
    wanted = set(scopes)
    if not wanted or not wanted <= set(SCOPES):
        raise Unprocessable(f"A key needs one or more of these scopes: {', '.join(SCOPES)}.")
    if expires_at is not None and expires_at <= utcnow():
        raise Unprocessable("expires_at has already passed; give a later time or none.")
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = _add(session, prefix, secret, name, wanted, expires_at=expires_at, limits=limits, by=by)
    return key, f"reel_{prefix}_{secret}"


def adopt_key(session: Session, token: str, name: str, scopes: Iterable[Scope]) -> bool:
    """Add a key whose token was made elsewhere, unless it is known already; returns whether it was added.

    Raises:
        Unprocessable: it does not look like a token, or its prefix is another key's.
    """
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise Unprocessable("A key is reel_, 12 hex digits, _, and 43 letters, digits, - or _.")
    prefix, secret = parts.groups()
    known = session.scalar(sa.select(ApiKey).where(ApiKey.prefix == prefix))
    if known is not None and not hmac.compare_digest(_digest(secret), known.secret_sha256):
        raise Unprocessable(f"Another key begins with reel_{prefix}; make a new one.")
    if known is not None:
        return False
    _add(session, prefix, secret, name, set(scopes))
    return True


def _add(
    session: Session,
    prefix: str,
    secret: str,
    name: str,
    scopes: set[str] | set[Scope],
    *,
    expires_at: datetime | None = None,
    limits: Mapping[str, int | None] | None = None,
    by: str = "",
) -> ApiKey:
    key = ApiKey(
        id=new_id("key"),
        name=name[:100],
        prefix=prefix,
        secret_sha256=_digest(secret),
        scopes=[scope for scope in SCOPES if scope in scopes],
        expires_at=expires_at,
        limits=_own(limits),
    )
    session.add(key)
    session.flush()
    _note(session, key, "made", by)
    return key


def _own(limits: Mapping[str, int | None] | None) -> dict[str, int] | None:
    return {name: value for name, value in (limits or {}).items() if value is not None} or None


def _note(session: Session, key: ApiKey, action: KeyAction, by: str) -> None:
    session.add(
        KeyChange(id=new_id("kch"), key_id=key.id, action=action, by=by, scopes=key.scopes, limits=key.limits)
    )


def authenticate(session: Session, token: str) -> Principal:
    """Return whom the token names, from the database.

    Raises:
        Unauthorized: not a key, unknown, wrong, expired or revoked; never says which of the first three.
    """
    parts = _TOKEN.fullmatch(token)
    prefix, secret = parts.groups() if parts else ("", "")
    key = session.scalar(sa.select(ApiKey).where(ApiKey.prefix == prefix)) if parts else None
    # Hash and compare even when there is no such key, so that timing does not tell which prefixes exist.
    right = hmac.compare_digest(_digest(secret), key.secret_sha256 if key else _digest("nobody"))
    if key is None or not right:
        raise Unauthorized("The API key is not valid; check that it was copied whole.")
    if key.revoked_at is not None:
        raise Unauthorized("The API key was revoked; ask for a new one.")
    if key.expires_at is not None and key.expires_at <= utcnow():
        raise Unauthorized("The API key has expired; ask for a new one.")
    return principal_of(key)


def principal_of(key: ApiKey) -> Principal:
    """Return whom a key stands for; that it holds has been looked at."""
    return Principal(key.id, frozenset(key.scopes), key.limits)


def limit_key(session: Session, key_id: str, limits: Mapping[str, int | None], *, by: str = "") -> ApiKey:
    """Give a key these limits of its own and no others; in force here at once, elsewhere within seconds."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"There is no API key {key_id}.")
    key.limits = _own(limits)
    _note(session, key, "limited", by)
    _forget_after_commit(session)
    return key


def revoke_key(session: Session, key_id: str, *, by: str = "") -> ApiKey:
    """Revoke a key; doing it twice changes nothing. This process refuses it as soon as the commit is done."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"There is no API key {key_id}.")
    if key.revoked_at is None:
        key.revoked_at = utcnow()
        _note(session, key, "revoked", by)
    _forget_after_commit(session)
    return key


def _forget_after_commit(session: Session) -> None:
    sa.event.listen(session, "after_commit", lambda _session: remembered.clear(), once=True)


class _Memory:
    """Principals recognised in the last few seconds, by the hash of their token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Principal, float]] = {}

    def get(self, token: str) -> Principal | None:
        principal, until = self._known.get(_digest(token), (None, 0.0))
        return principal if time.monotonic() < until else None

    def put(self, token: str, principal: Principal) -> None:
        with self._lock:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            self._known[_digest(token)] = (principal, time.monotonic() + CACHE_SECONDS)

    def clear(self) -> None:
        with self._lock:
            self._known.clear()


remembered = _Memory()


def recognise(token: str) -> Principal:
    """``authenticate`` with a memory of a few seconds; opens its own transaction when it must look."""
    known = remembered.get(token)
    if known is not None:
        return known
    with reading() as session:
        principal = authenticate(session, token)
    remembered.put(token, principal)
    return principal


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
