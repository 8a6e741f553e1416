"""The application of the web service: pages and jobs."""

from __future__ import annotations

from fastapi import FastAPI

from reel_shared.web.app import create_app
from reel_web.api import router
from reel_web.pages import router as pages


def app() -> FastAPI:
    """The service alone."""
    return create_app("Reelsight web", [router, pages])
