"""The application of the embedded platform: every service's router and the pages in one."""

from __future__ import annotations

from fastapi import FastAPI

from reel_augment.api import router as augment
from reel_explainer.api import router as explainer
from reel_inference.api import router as inference
from reel_ingest.api import router as ingest
from reel_shared.web.app import create_app
from reel_trainer.api import router as trainer
from reel_web.api import router as web
from reel_web.pages import router as pages


def app() -> FastAPI:
    return create_app("Reelsight", [ingest, augment, trainer, inference, explainer, web, pages])
