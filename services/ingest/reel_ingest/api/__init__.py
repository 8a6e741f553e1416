"""HTTP for ingest: films and web collections come in as jobs, and what they brought can be seen.

Mounted by the embedded platform, or served alone through `app`.
"""

from __future__ import annotations

from fastapi import FastAPI

from reel_ingest.api import collections, curation, images, imports, movies, subjects, takedowns
from reel_shared.web.app import create_app
from reel_shared.web.routing import Router

router = Router()
for part in (movies, collections, imports, images, curation, subjects, takedowns):
    router.include_router(part.router)


def app() -> FastAPI:
    """The service alone."""
    return create_app("Reelsight ingest", [router])
