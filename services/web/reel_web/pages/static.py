"""The pages' own style, scripts and icon, out of the package."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from reel_shared.errors import NotFound
from reel_shared.web.routing import Router
from reel_web.rendering import STATIC, static_url

router = Router()
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@router.get("/static/{name}")
def static_file(name: str, request: Request) -> Response:
    """A file of `static`; kept for ever by browsers when asked for by its versioned address."""
    known = {entry.name for entry in STATIC.iterdir()}
    if name not in known:
        raise NotFound(f"There is no file {name}.")
    lasting = static_url(name).endswith(f"?{request.url.query}") and request.url.query
    age = "public, max-age=31536000, immutable" if lasting else "public, max-age=60"
    suffix = name[name.rfind(".") :]
    return Response(
        (STATIC / name).read_bytes(), media_type=MEDIA_TYPES[suffix], headers={"Cache-Control": age}
    )


@router.get("/favicon.ico")
def favicon(request: Request) -> Response:
    return static_file("icon.svg", request)
