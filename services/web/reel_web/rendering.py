"""Owns how a page leaves: its template, its JSON twin, its content security policy, its error page.

Called by every module in `pages`.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from reel_shared.errors import ReelError, Unauthorized
from reel_shared.settings import settings

STATIC = files("reel_web") / "static"


def page(
    request: Request,
    template: str,
    data: Mapping[str, Any],
    *,
    status: int = 200,
    drawn: Mapping[str, Any] | None = None,
) -> Response:
    """Answer with `template` filled from `data`, or with `data` itself where JSON was asked for.

    `drawn` is for the template alone: drawings of what `data` holds as figures.
    """
    if wants_json(request):
        return JSONResponse(data, status, headers={"Cache-Control": "private, no-cache"})
    html = (
        _templates()
        .get_template(template)
        .render(**data, **(drawn or {}), path=request.url.path, signed_in=_is_signed_in(request))
    )
    headers = {
        "Content-Security-Policy": policy(),
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Cookie",
    }
    return HTMLResponse(html, status, headers=headers)


def wants_json(request: Request) -> bool:
    """Whether the address ends in `.json` or the Accept header names JSON and no HTML."""
    accept = request.headers.get("accept", "")
    return request.url.path.endswith(".json") or ("application/json" in accept and "text/html" not in accept)


def policy() -> str:
    """The content security policy: own files only, and pictures from the object storage."""
    s3 = settings().s3
    secure = s3.secure if s3.public_secure is None else s3.public_secure
    storage = f"{'https' if secure else 'http'}://{s3.public_endpoint or s3.endpoint}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
        f"img-src 'self' blob: {storage}; base-uri 'none'; frame-ancestors 'none'"
    )


class PageRoute(APIRoute):
    """Shows refusals as a page to people, leads them to sign in, and leaves problem details to programs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (ReelError, RequestValidationError) as error:
                if wants_json(request):
                    raise
                return _sign_in(request) if isinstance(error, Unauthorized) else _refusal(request, error)

        return handled


def _sign_in(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(wanted)}", 303)


def _refusal(request: Request, error: ReelError | RequestValidationError) -> Response:
    if isinstance(error, ReelError):
        problem = error.problem()
    else:
        detail = "The address holds something that this page does not know; start again from the list."
        problem = {"title": "There is no such page", "detail": detail, "status": 422}
    shown = {"problem": {**problem, "request_id": request.scope["state"].get("request_id", "")}}
    return page(request, "problem.html", shown, status=problem["status"])


def _is_signed_in(request: Request) -> bool:
    return getattr(request.state, "principal", None) is not None


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("reel_web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        people=people,
        moment=moment,
        duration=duration,
        bytes=byte_size,
        pretty=pretty,
        percent=percent,
        quoted=quoted,
        thousands=thousands,
        zip=zip,
    )
    made.globals["static"] = static_url
    return made


@cache
def static_url(name: str) -> str:
    """Return the address of a file in `static`, which changes with its content and may be kept for ever."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def people(label: str) -> str:
    """Write a label as a person would: `kite-weather` is `Kite weather`."""
    return label[:1].upper() + label[1:].replace("-", " ").replace("_", " ")


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def thousands(count: int) -> str:
    """Write a count with a narrow space between its thousands: 12 345."""
    return f"{count:,}".replace(",", "\u202f")


def moment(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%-d %b %Y, %H:%M:%S UTC")


def duration(seconds: float | None) -> str:
    """Write seconds as `0.4 s`, `3 min 12 s` or `2 h 5 min`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def byte_size(count: int) -> str:
    """Write bytes as people read them, in steps of 1024: `812 bytes`, `1.4 MB`, `20 MB`."""
    if count < 1024:
        return f"{count} bytes"
    size, unit = count / 1024, "kB"
    for larger in ("MB", "GB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"


def quoted(value: Any) -> str:
    """Write JSON as one word of a shell's command line."""
    return shlex.quote(json.dumps(value, ensure_ascii=False))


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
