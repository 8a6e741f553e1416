"""`/sign-in` and `/sign-out`: an API key for a session cookie, and back."""

from __future__ import annotations

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from reel_shared.errors import Forbidden, Unauthorized
from reel_shared.web import sessions
from reel_shared.web.routing import Router
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Greeted, begin

router = Router(route_class=PageRoute, dependencies=[Greeted])
HOME = "/jobs"


@router.get("/sign-in")
@router.get("/sign-in.json")
def sign_in_page(request: Request, next: str = HOME) -> Response:
    return _form(request, next)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Check the key and set the cookie; a wrong key shows the form again with the reason."""
    sessions.same_site(request)
    if not sessions.is_on():
        return _form(request, HOME, status=403)
    form = await request.form(max_files=0, max_fields=5)
    wanted, token = str(form.get("next", HOME)), str(form.get("key", "")).strip()
    response = RedirectResponse(_local(wanted), 303)
    try:
        await run_in_threadpool(begin, response, request, token)
    except (Unauthorized, Forbidden) as error:
        return _form(request, wanted, refusal=error.detail, status=error.status)
    return response


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    sessions.same_site(request)
    response = RedirectResponse("/", 303)
    sessions.end(response)
    return response


def _form(request: Request, wanted: str, *, refusal: str = "", status: int = 200) -> Response:
    data = {"next": _local(wanted), "on": sessions.is_on(), "refusal": refusal}
    return page(request, "sign_in.html", data, status=status)


def _local(address: str) -> str:
    """Return `address` if it is a path on this host, else the jobs page: a link must not lead elsewhere."""
    plain = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if plain and address.isprintable() else HOME
