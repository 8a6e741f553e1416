"""The pages for people; `router` holds them all. Each has a JSON twin under the same name."""

from __future__ import annotations

from reel_shared.web.routing import Router
from reel_web.pages import (
    answers,
    datasets,
    jobs,
    models,
    pictures,
    queues,
    review,
    settings,
    sign_in,
    splits,
    static,
    trainings,
    try_it,
    webhooks,
)

PARTS = (
    try_it,
    answers,
    datasets,
    pictures,
    splits,
    review,
    trainings,
    models,
    jobs,
    queues,
    settings,
    webhooks,
    sign_in,
)
router = Router(include_in_schema=False)
for part in (*PARTS, static):
    router.include_router(part.router)
