"""`/settings/webhooks/{endpoint_id}`: what an endpoint of a webhook was told, and what it answered."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from reel_shared import webhooks
from reel_shared.db.engine import reading
from reel_shared.db.models import WebhookDelivery
from reel_shared.web.pagination import listing
from reel_shared.web.routing import Router
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Viewer
from reel_web.webhooks import DeliveryState, deliveries_of, delivery_view, endpoint_view

router = Router(route_class=PageRoute)
PAGE_ROWS = 25
STATES = ("pending", "delivered", "failed")


@router.get("/settings/webhooks/{endpoint_id}")
@router.get("/settings/webhooks/{endpoint_id}.json")  # registered first: decorators work from below
def show_webhook(
    endpoint_id: str,
    request: Request,
    viewer: Viewer,
    state: DeliveryState | None = None,
    cursor: str | None = None,
) -> Response:
    """Its deliveries, the newest first, with every try; `state` narrows them."""
    wanted = listing(cursor, PAGE_ROWS, state=state)
    with reading() as session:
        row = webhooks.get(session, viewer, endpoint_id)
        found = wanted.page(session, deliveries_of(row, wanted.filters), WebhookDelivery, delivery_view)
        data = {
            **found,
            "endpoint": endpoint_view(row),
            "states": STATES,
            "state": wanted.filters.get("state", ""),
            "first_page": cursor is None,
        }
    return page(request, "webhook.html", data)
