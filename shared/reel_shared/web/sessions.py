"""Who a browser is: an API key at sign-in, afterwards a signed cookie that names the key and holds no secret.

The pages and every service's API know the cookie, so that a page's script calls `/v1` as the person who signed in.
A revoked or expired key ends its sessions.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from reel_shared.db.engine import reading
from reel_shared.db.models import ApiKey, utcnow
from reel_shared.errors import Forbidden
from reel_shared.security import Principal, principal_of
from reel_shared.settings import settings

COOKIE = "reel_session"
LIFETIME_SECONDS = 12 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_on() -> bool:
    """Whether sign-in works here: cookies need a secret to be signed with."""
    return bool(settings().web.secret.get_secret_value())


def begin(response: Response, request: Request, principal: Principal) -> None:
    """Put the session cookie of an API key's holder on ``response``."""
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


def signed_in(request: Request) -> Principal | None:
    """Return whom the cookie names, if its signature, its age and its key still hold; asks the database."""
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
        return principal_of(key)


def same_site(request: Request) -> None:
    """Refuse a change that another site's page asks for through a visitor's browser.

    As Go's ``http.CrossOriginProtection`` does it: every browser of today sends ``Sec-Fetch-Site`` or, where the
    page is not trusted enough for that, ``Origin``. Who sends neither is no browser and carries nobody's cookie.

    Raises:
        Forbidden: the browser says that the request comes from elsewhere.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        foreign = site not in {"same-origin", "none"}
    else:
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise Forbidden("Another site sent this request; open the page here and try again.")


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(settings().web.secret.get_secret_value(), salt="reel-session")
