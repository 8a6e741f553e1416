"""Owns HTTP for explanations: ``POST /v1/explanations`` and ``POST /v1/attention-differences``.

Mounted by the embedded platform, or served alone through ``app``. Knows the models by their cards only.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from pydantic import field_validator
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reel_shared.contracts import (
    ACTIVE,
    COMPARE_ATTENTION,
    EXPLAIN_PICTURE,
    CompareAttentionRequest,
    ExplainPictureRequest,
)
from reel_shared.db.lookups import find_model
from reel_shared.db.models import DatasetVersion
from reel_shared.errors import Forbidden, NotFound, Unprocessable
from reel_shared.security import Principal
from reel_shared.web import uploads
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Submitter, Visitor
from reel_shared.web.media import Family
from reel_shared.web.requests import large_body
from reel_shared.web.schemas import JobView

PICTURES: tuple[Family, ...] = ("picture",)


class ExplanationJob(ExplainPictureRequest, Submission):
    """The body of ``POST /v1/explanations``. In a form, lists are written with commas."""

    @field_validator("labels", "methods", "outputs", mode="before")
    @classmethod
    def _from_form(cls, value: Any) -> Any:
        return (
            [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
        )


_LISTS = ("labels", "methods", "outputs")
_FORM_FIELDS = {
    "file": {"type": "string", "format": "binary"},
    **{
        name: schema
        for name, schema in ExplanationJob.model_json_schema()["properties"].items()
        if name != "key"
    },
    **{name: {"type": "string", "description": "with commas between them"} for name in _LISTS},
    "metadata": {"type": "string", "description": "JSON"},
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": ExplanationJob.model_json_schema()},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": _FORM_FIELDS, "required": ["file"]}
            },
        },
    }
}

router = APIRouter(tags=["explanations"])


@router.post("/v1/explanations", status_code=202, response_model=JobView, openapi_extra=BODY)
@large_body(lambda: uploads.byte_cap("picture"))
async def create_explanation(request: Request, principal: Visitor) -> Response:
    """Submit a job that explains a picture: one in storage, named by its key, or the form's file."""
    body = await uploads.read_submission(request, principal, ExplanationJob, families=PICTURES)
    _bound_visitors(body, principal)
    await uploads.require_stored(body.key)
    return await run_in_threadpool(
        submit_job, EXPLAIN_PICTURE, body, principal, request, check=lambda session: _check(session, body)
    )


def _bound_visitors(body: ExplanationJob, principal: Principal) -> None:
    if principal.may("submit"):
        return
    if body.model != ACTIVE or not body.key.startswith(f"{uploads.PREFIX}/"):
        raise Forbidden(
            "Visitors of the demo may ask the active model about pictures they upload, nothing else."
        )
    if body.faithfulness:
        raise Forbidden("Faithfulness takes an explainer's time for seconds; it needs an API key.")


def _check(session: Session, body: ExplanationJob) -> None:
    """Refuse what the job could only fail at: no such model, or labels that it does not know."""
    model = find_model(session, body.model)
    classes = model.card["classes"]
    named = [*body.labels, *([body.actual] if body.actual else [])]
    if unknown := [label for label in named if label not in classes]:
        raise Unprocessable(f"Model {model.id} knows no class {unknown[0]!r}; it knows {_known(classes)}.")


class AttentionDifferenceJob(CompareAttentionRequest, Submission):
    """The body of ``POST /v1/attention-differences``."""


@router.post("/v1/attention-differences", status_code=202, response_model=JobView)
def create_attention_difference(
    body: AttentionDifferenceJob, principal: Submitter, request: Request
) -> Response:
    """Submit a job that compares where two models look in the same held-out pictures."""

    def check(session: Session) -> None:
        if session.get(DatasetVersion, body.dataset_version_id) is None:
            raise NotFound(f"There is no dataset version {body.dataset_version_id}.")
        for model in body.models:
            classes = find_model(session, model).card["classes"]
            if body.label is not None and body.label not in classes:
                raise Unprocessable(
                    f"Model {model} knows no class {body.label!r}; it knows {_known(classes)}."
                )

    return submit_job(COMPARE_ATTENTION, body, principal, request, check=check)


def _known(classes: list[str]) -> str:
    return ", ".join(classes[:20]) + (", …" if len(classes) > 20 else "")


def app() -> FastAPI:
    """The service alone."""
    return create_app("Reelsight explainer", [router])
