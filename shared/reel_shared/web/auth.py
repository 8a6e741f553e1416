"""Who may call an endpoint: ``Depends(require("submit"))`` gives it a ``Principal`` or refuses the request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool

from reel_shared.errors import Forbidden, Unauthorized
from reel_shared.security import DEMO, Principal, Scope, recognise, remembered
from reel_shared.settings import settings
from reel_shared.web import sessions
from reel_shared.web.quotas import admit

SCOPES: dict[Callable[..., object] | None, tuple[Scope, ...]] = {}
"""What each dependency of ``require`` lets in; the pages of the reference are written from it."""


class _Caller(SecurityBase):
    """A dependency that is a security scheme too: to solve one within the other took each request as long again."""

    scheme_name = "ApiKey"
    model = HTTPBearer(description="`Authorization: Bearer reel_<prefix>_<secret>`")

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        self.scopes = scopes

    async def __call__(self, request: Request) -> Principal:
        token = _token(request)
        if token is not None:
            found = await _keyholder(token)
        else:
            found = await _browser(request, self.scopes) or _anonymous(request, demo="demo" in self.scopes)
        if not found.may(*self.scopes):
            wanted = " or ".join(repr(scope) for scope in self.scopes)
            raise Forbidden(f"The API key needs the scope {wanted}.")
        structlog.contextvars.bind_contextvars(principal=found.id)
        await admit(request, found)
        return found


def require(*scopes: Scope) -> Callable[[Request], Awaitable[Principal]]:
    """Return a dependency that lets in holders of any one of ``scopes`` (``admin`` always).

    Where ``demo`` is among them and the public demo is on, a request without a key comes in as ``DEMO``.

    Raises (on a request):
        Unauthorized: neither a key nor the cookie of somebody signed in, or not a valid one.
        Forbidden: a key without these scopes, or a page of another site that uses a visitor's browser.
        TooManyRequests: over one of the caller's limits (``quotas``).
    """
    caller = _Caller(scopes)
    SCOPES[caller] = scopes
    return caller


def scopes_of(route: APIRoute) -> list[Scope]:
    """Return the scopes of which a caller of a route needs any one; ``demo`` stands for visitors without a key."""
    found = [scope for inner in route.dependant.dependencies for scope in SCOPES.get(inner.call, ())]
    return list(dict.fromkeys(found))


def _token(request: Request) -> str | None:
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    return token if token and scheme.lower() == "bearer" else None


async def _keyholder(token: str) -> Principal:
    # A remembered key costs no change of thread: the synchronous prediction is too quick for one.
    known = remembered.get(token)
    return known if known is not None else await run_in_threadpool(recognise, token)


async def _browser(request: Request, scopes: tuple[Scope, ...]) -> Principal | None:
    """Return who is signed in; None when nobody is, or when a visitor may do what their key may not."""
    if "authorization" in request.headers or sessions.COOKIE not in request.cookies:
        return None
    found = await run_in_threadpool(sessions.signed_in, request)
    if found is None or (not found.may(*scopes) and "demo" in scopes and settings().web.public_demo):
        return None
    sessions.same_site(request)
    return found


def _anonymous(request: Request, *, demo: bool) -> Principal:
    if "authorization" in request.headers:
        raise Unauthorized("Send the key as 'Authorization: Bearer reel_…'.")
    if not demo or not settings().web.public_demo:
        raise Unauthorized("Send an API key as 'Authorization: Bearer reel_…'.")
    if request.method != "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        raise Forbidden("Another site's page may not use the demo through a visitor's browser.")
    return DEMO


Reader = Annotated[Principal, Depends(require("read"))]
Submitter = Annotated[Principal, Depends(require("submit"))]
Admin = Annotated[Principal, Depends(require("admin"))]
Visitor = Annotated[Principal, Depends(require("submit", "demo"))]
"""May submit what the demo page needs: a key with ``submit``, or anyone where the public demo is on."""
Owner = Annotated[Principal, Depends(require("read", "submit", "demo"))]
"""May look at jobs: all of them with ``read``, otherwise the own ones (``Principal.sees``)."""
