"""Owns who may look at a page: dependencies over the session cookie of `reel_shared.web.sessions`.

Called by the pages; those that are not for everyone ask for a `Viewer`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from reel_shared.errors import Forbidden, Unauthorized
from reel_shared.security import Principal, recognise
from reel_shared.web import sessions


def begin(response: Response, request: Request, token: str) -> None:
    """Put the session cookie for an API key on `response`. Raises errors.Unauthorized or errors.Forbidden."""
    principal = recognise(token)
    if not principal.may("read", "submit"):
        raise Forbidden("This key may neither read nor submit; sign in with one that may.")
    sessions.begin(response, request, principal)


def _viewer(request: Request) -> Principal:
    principal = sessions.signed_in(request)
    if principal is None or not principal.may("read", "submit"):
        raise Unauthorized("Sign in with an API key to see this page.")
    request.state.principal = principal
    return principal


def _reader(request: Request) -> Principal:
    principal = _viewer(request)
    if not principal.may("read"):
        raise Forbidden("This page needs an API key with the scope 'read'.")
    return principal


def _administrator(request: Request) -> Principal:
    sessions.same_site(request)
    principal = _viewer(request)
    if not principal.may("admin"):
        raise Forbidden("This needs an API key with the scope 'admin'; sign in with one.")
    return principal


def _visitor(request: Request) -> None:
    request.state.principal = sessions.signed_in(request)


Viewer = Annotated[Principal, Depends(_viewer)]
"""Signed in; sees all jobs with the scope `read`, otherwise the key's own."""
Reader = Annotated[Principal, Depends(_reader)]
"""Signed in with the scope `read`: for pages that show what belongs to nobody in particular."""
Administrator = Annotated[Principal, Depends(_administrator)]
"""Signed in with the scope `admin`, and no other site's page that asks: for forms that change something."""
Greeted = Depends(_visitor)
"""For pages open to everyone: notes who is signed in."""
