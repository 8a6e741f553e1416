"""The API process of the web service, pages and jobs: `python -m reel_web.server`."""

from __future__ import annotations

from fastapi import FastAPI

from reel_shared.web.app import create_app
from reel_shared.web.server import main
from reel_web.api import router
from reel_web.pages import router as pages


def app() -> FastAPI:
    """The service alone."""
    return create_app("Reelsight web", [router, pages])


if __name__ == "__main__":
    main(app)
