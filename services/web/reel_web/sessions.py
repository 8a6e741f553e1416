"""Owns who looks at a page: an API key at sign-in, afterwards a signed cookie that names the key.

Called by the pages that are not for everyone. The cookie holds no secret; a revoked key ends its sessions.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.responses import Response

from reel_shared.db.engine import reading
from reel_shared.db.models import ApiKey, utcnow
from reel_shared.errors import Forbidden, Unauthorized
from reel_shared.security import Principal, recognise
from reel_shared.settings import settings

COOKIE = "reel_session"
LIFETIME_SECONDS = 12 * 3600


def is_on() -> bool:
    """Whether sign-in works here: cookies need a secret to be signed with."""
    return bool(settings().web.secret.get_secret_value())


def begin(response: Response, request: Request, token: str) -> None:
    """Put the session cookie for an API key on `response`. Raises errors.Unauthorized or errors.Forbidden."""
    principal = recognise(token)
    if not principal.may("read", "submit"):
        raise Forbidden("This key may neither read nor submit; sign in with one that may.")
    response.set_cookie(
        COOKIE,
        str(_signer().dumps(principal.id)),
        max_age=LIFETIME_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def end(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")


def same_site(request: Request) -> None:
    """Refuse a form that another site's page sent. Raises errors.Forbidden."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("This form was sent by another site; open the page here and try again.")


def signed_in(request: Request) -> Principal | None:
    """Return whom the cookie names, if its signature, its age and its key still hold."""
    if not is_on() or COOKIE not in request.cookies:
        return None
    try:
        key_id: Any = _signer().loads(request.cookies[COOKIE], max_age=LIFETIME_SECONDS)
    except BadData:
        return None
    with reading() as session:
        key = session.get(ApiKey, str(key_id))
        if key is None or key.revoked_at is not None or (key.expires_at and key.expires_at <= utcnow()):
            return None
        return Principal(key.id, frozenset(key.scopes))


def _viewer(request: Request) -> Principal:
    principal = signed_in(request)
    if principal is None or not principal.may("read", "submit"):
        raise Unauthorized("Sign in with an API key to see this page.")
    request.state.principal = principal
    return principal


def _visitor(request: Request) -> None:
    request.state.principal = signed_in(request)


Viewer = Annotated[Principal, Depends(_viewer)]
"""Signed in; sees all jobs with the scope `read`, otherwise the key's own."""
Greeted = Depends(_visitor)
"""For pages open to everyone: notes who is signed in."""


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(settings().web.secret.get_secret_value(), salt="reel-session")
