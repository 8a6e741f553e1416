"""The one API process of the embedded platform: every service's router and the pages in one application."""

from __future__ import annotations

import structlog
import uvicorn
from fastapi import FastAPI

from reel_augment.api import router as augment
from reel_explainer.api import router as explainer
from reel_inference.api import router as inference
from reel_ingest.api import router as ingest
from reel_shared.settings import settings
from reel_shared.telemetry import configure_logging
from reel_shared.web.app import create_app
from reel_trainer.api import router as trainer
from reel_web.api import router as web
from reel_web.pages import router as pages

log = structlog.get_logger(__name__)


def app() -> FastAPI:
    return create_app("Reelsight", [ingest, augment, trainer, inference, explainer, web, pages])


def main() -> None:
    configure_logging()
    web_settings = settings().web
    if (
        web_settings.host not in ("127.0.0.1", "localhost", "::1")
        and "public_demo" not in web_settings.model_fields_set
    ):
        log.warning(
            "web.open_to_strangers",
            advice="The demo page takes pictures without a key; set REEL_WEB__PUBLIC_DEMO to true or false.",
        )
    uvicorn.run(
        app(),
        host=web_settings.host,
        port=web_settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
