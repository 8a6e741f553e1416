"""HTTP for the shadow: a model that is asked beside the active one, and how the two compare."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from reel_shared.contracts import ShadowReport, ShadowRequest
from reel_shared.db.engine import reading, transaction
from reel_shared.errors import Conflict, NotFound
from reel_shared.web.auth import Reader, Submitter
from reel_shared.web.idempotency import once
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_trainer import shadows
from reel_trainer.api.models import ModelId

router = Router(tags=["models"])
TENTH = ShadowRequest()


@router.get("/v1/models/shadow", response_model=ShadowReport)
@refuses(NotFound)
def get_shadow(_principal: Reader) -> Response:
    """How the shadow compares: `asked`, `agreement`, `confidence_difference`, `disagreements`; counted anew
    when either model changes."""
    with reading() as session:
        return JSONResponse(shadows.report(session).model_dump(mode="json"))


@router.post("/v1/models/{model_id}/shadow", response_model=ShadowReport)
@refuses(Conflict)
def start_shadow(
    model_id: ModelId, principal: Submitter, request: Request, body: ShadowRequest = TENTH
) -> Response:
    """Ask this model too, after the active one has answered, for a `share` of the live predictions.

    Nobody gets its answers and nobody waits for them. The same model again only changes the share.
    """
    with transaction() as session:

        def act() -> dict[str, Any]:
            return shadows.start(session, model_id, body.share, by=principal.id).model_dump(mode="json")

        content = {"model": model_id, **body.model_dump(mode="json")}
        answer = once(session, request, principal.id, content, act, status=200)
    return JSONResponse(answer.body, headers=answer.headers)


@router.delete("/v1/models/{model_id}/shadow", status_code=204)
@refuses(Conflict)
def stop_shadow(model_id: ModelId, principal: Submitter) -> Response:
    """Ask the shadow no more and forget what was counted; 409 when this model is not the shadow."""
    with transaction() as session:
        shadows.stop(session, model_id, by=principal.id)
    return Response(status_code=204)
