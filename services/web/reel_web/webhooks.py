"""The endpoints for webhooks: where somebody wants to be told of jobs that end, and what they were told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import Depends, Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from reel_shared import webhooks
from reel_shared.contracts import KINDS
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import WebhookDelivery, WebhookEndpoint
from reel_shared.errors import Conflict
from reel_shared.security import Principal
from reel_shared.web.auth import require
from reel_shared.web.envelope import timestamp
from reel_shared.web.idempotency import once
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import Page
from reel_shared.webhooks import EVENTS, Event

router = Router(tags=["webhooks"])
Caller = Annotated[Principal, Depends(require("read", "submit"))]
EndpointId = Annotated[str, Path(examples=["whe_01978c0de5b47cc2a1c5d0e0ffb2a4c1"])]
DeliveryId = Annotated[str, Path(examples=["whd_01978c0de5b47cc2a1c5d0e0ffb2a4c1"])]
DeliveryState = Literal["pending", "delivered", "failed"]


class NewEndpoint(BaseModel):
    """The body of `POST /v1/webhook-endpoints`."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=4096, examples=["https://hooks.example.org/reelsight"])
    description: str = Field(default="", max_length=200, examples=["tells the team"])
    events: list[Event] = Field(default=list(EVENTS), min_length=1)
    kinds: list[str] = Field(
        default=[],
        max_length=len(KINDS),
        description="of jobs; none: all",
        examples=[["trainer.train_model"]],
    )
    all_jobs: bool = Field(
        default=False, description="everybody's, which needs the scope `read`; else those of the calling key"
    )


class EndpointView(BaseModel):
    id: str
    owner: str = Field(description="the API key that made it; without it nothing is sent")
    url: str
    description: str
    events: list[Event]
    kinds: list[str]
    all_jobs: bool
    failing_since: AwareDatetime | None = Field(description="the first failure since the last success")
    disabled_at: AwareDatetime | None
    disabled_reason: str
    old_secrets_until: AwareDatetime | None = Field(
        description="until then deliveries are signed with an earlier secret too; null: with the newest alone"
    )
    created_at: AwareDatetime


class NewSecret(BaseModel):
    """The body of `POST /v1/webhook-endpoints/{endpoint_id}/roll-secret`."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: float = Field(
        default=24,
        ge=0,
        le=30 * 24,
        description="deliveries are signed with the secret before too for so long; 0: it ends at once",
    )


class CreatedEndpoint(EndpointView):
    secret: str = Field(
        description="what deliveries are signed with; shown this once", examples=["whsec_MfKQ9r8G…"]
    )


class Try(BaseModel):
    at: AwareDatetime
    status: int | None = Field(description="of the answer; null when there was none")
    seconds: float
    error: str


class DeliveryView(BaseModel):
    id: str = Field(description="the `webhook-id` of every try")
    endpoint_id: str
    event: str = Field(examples=["job.succeeded"])
    job_id: str | None
    state: DeliveryState
    tries: list[Try]
    next_at: AwareDatetime | None = Field(description="when it is sent next")
    created_at: AwareDatetime
    delivered_at: AwareDatetime | None


@router.post("/v1/webhook-endpoints", status_code=201, response_model=CreatedEndpoint)
def create_endpoint(body: NewEndpoint, principal: Caller, request: Request) -> Response:
    """Be told of jobs that end. The secret is in this answer and nowhere else: a repetition is 409."""
    made: list[str] = []
    content = body.model_dump(mode="json")
    with transaction() as session:

        def act() -> dict[str, Any]:
            row = webhooks.add(session, principal, **content)
            made.append(row.secret)
            return endpoint_view(row)

        answer = once(session, request, principal.id, content, act, status=201)
    if answer.replayed:
        endpoint_id = answer.body["id"]
        raise Conflict(
            f"This request has already made {endpoint_id}, whose secret was shown then; delete it."
        )
    return JSONResponse({**answer.body, "secret": made[0]}, 201, headers={"Cache-Control": "no-store"})


@router.get("/v1/webhook-endpoints", response_model=Page[EndpointView])
def list_endpoints(principal: Caller, cursor: Cursor = None, limit: Limit = None) -> Response:
    """The endpoints of the calling key, the newest first; everybody's with `admin`."""
    with reading() as session:
        query = webhooks.visible(principal)
        return JSONResponse(listing(cursor, limit).page(session, query, WebhookEndpoint, endpoint_view))


@router.get("/v1/webhook-endpoints/{endpoint_id}", response_model=EndpointView)
def get_endpoint(endpoint_id: EndpointId, principal: Caller) -> Response:
    """One endpoint: what it is told of, since when it fails, why it is disabled."""
    with reading() as session:
        return JSONResponse(endpoint_view(webhooks.get(session, principal, endpoint_id)))


@router.delete("/v1/webhook-endpoints/{endpoint_id}", status_code=204)
def delete_endpoint(endpoint_id: EndpointId, principal: Caller) -> None:
    """Delete an endpoint with its deliveries; what is not yet sent is never sent."""
    with transaction() as session:
        webhooks.delete(session, webhooks.get(session, principal, endpoint_id))


@router.post("/v1/webhook-endpoints/{endpoint_id}/roll-secret", response_model=CreatedEndpoint)
def roll_secret(endpoint_id: EndpointId, body: NewSecret, principal: Caller, request: Request) -> Response:
    """Replace the secret; the one before signs too for a time. The new one is in this answer and nowhere else."""
    made: list[str] = []
    with transaction() as session:

        def act() -> dict[str, Any]:
            row = webhooks.get(session, principal, endpoint_id)
            made.append(webhooks.roll_secret(row, overlap_hours=body.overlap_hours))
            return endpoint_view(row)

        answer = once(session, request, principal.id, body.model_dump(mode="json"), act, status=200)
    if answer.replayed:
        raise Conflict("This request has already made a secret, which was shown then; roll it once more.")
    return JSONResponse({**answer.body, "secret": made[0]}, headers={"Cache-Control": "no-store"})


@router.post("/v1/webhook-endpoints/{endpoint_id}/enable", response_model=EndpointView)
def enable_endpoint(endpoint_id: EndpointId, principal: Caller) -> Response:
    """Send to it again, beginning with what was due when it was disabled."""
    with transaction() as session:
        row = webhooks.get(session, principal, endpoint_id)
        webhooks.enable(row)
        return JSONResponse(endpoint_view(row))


@router.post("/v1/webhook-endpoints/{endpoint_id}/disable", response_model=EndpointView)
def disable_endpoint(endpoint_id: EndpointId, principal: Caller) -> Response:
    """Send nothing to it until it is enabled; jobs that end meanwhile are not told later."""
    with transaction() as session:
        row = webhooks.get(session, principal, endpoint_id)
        webhooks.disable(row, "By hand.")
        return JSONResponse(endpoint_view(row))


@router.post("/v1/webhook-endpoints/{endpoint_id}/ping", status_code=202, response_model=DeliveryView)
@refuses(Conflict)
def ping_endpoint(endpoint_id: EndpointId, principal: Caller) -> Response:
    """Send a test of type `ping`, signed like all others; 409 when the endpoint is disabled."""
    with transaction() as session:
        row = webhooks.ping(session, webhooks.get(session, principal, endpoint_id))
        return JSONResponse(delivery_view(row), 202)


@router.get("/v1/webhook-endpoints/{endpoint_id}/deliveries", response_model=Page[DeliveryView])
def list_deliveries(
    endpoint_id: EndpointId,
    principal: Caller,
    state: DeliveryState | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """What an endpoint was told, the newest first, with every try."""
    wanted = listing(cursor, limit, state=state)
    with reading() as session:
        row = webhooks.get(session, principal, endpoint_id)
        return JSONResponse(
            wanted.page(session, deliveries_of(row, wanted.filters), WebhookDelivery, delivery_view)
        )


@router.post("/v1/webhook-deliveries/{delivery_id}/redeliver", status_code=202, response_model=DeliveryView)
@refuses(Conflict)
def redeliver(delivery_id: DeliveryId, principal: Caller) -> Response:
    """Send it again, under the same `webhook-id`; 409 when it waits to be sent or its endpoint is disabled."""
    with transaction() as session:
        row = webhooks.redeliver(session, webhooks.delivery(session, principal, delivery_id))
        return JSONResponse(delivery_view(row), 202)


def deliveries_of(row: WebhookEndpoint, filters: dict[str, str]) -> sa.Select[WebhookDelivery]:
    return sa.select(WebhookDelivery).filter_by(endpoint_id=row.id, **filters)


def endpoint_view(row: WebhookEndpoint) -> dict[str, Any]:
    names = ("id", "owner", "url", "description", "events", "kinds", "all_jobs")
    return {
        **{name: getattr(row, name) for name in names},
        "failing_since": timestamp(row.failing_since),
        "disabled_at": timestamp(row.disabled_at),
        "disabled_reason": row.disabled_reason,
        "old_secrets_until": timestamp(webhooks.old_secrets_until(row)),
        "created_at": timestamp(row.created_at),
    }


def delivery_view(row: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": row.id,
        "endpoint_id": row.endpoint_id,
        "event": row.event,
        "job_id": row.job_id,
        "state": row.state,
        "tries": row.tries,
        "next_at": timestamp(row.next_at),
        "created_at": timestamp(row.created_at),
        "delivered_at": timestamp(row.delivered_at),
    }
