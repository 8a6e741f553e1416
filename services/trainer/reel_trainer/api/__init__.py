"""HTTP for the trainer: dataset versions and trainings as jobs, the models they made, the recipes there are.

Mounted by the embedded platform, or served alone through ``app``.
"""

from __future__ import annotations

from fastapi import FastAPI

from reel_shared.web.app import create_app
from reel_shared.web.routing import Router
from reel_trainer.api import (
    checks,
    evaluations,
    exports,
    models,
    promotions,
    reports,
    shadows,
    split_pins,
    trainings,
    versions,
)

router = Router()
for part in (
    versions,
    split_pins,
    trainings,
    shadows,
    models,
    promotions,
    evaluations,
    reports,
    exports,
    checks,
):
    router.include_router(part.router)


def app() -> FastAPI:
    """Return the service's own application; uvicorn calls it as a factory."""
    return create_app("Reelsight trainer", [router])
