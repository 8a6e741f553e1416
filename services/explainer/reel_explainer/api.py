"""Owns HTTP for explanations: of one picture, of many, and of how two models' looks differ.

Mounted by the embedded platform, or served alone through ``app``. Knows the models by their cards only.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from pydantic import field_validator
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from reel_shared.contracts import (
    ACTIVE,
    COMPARE_ATTENTION,
    EXPLAIN_PICTURE,
    EXPLAIN_PICTURES,
    PREDICT_PICTURES,
    CompareAttentionRequest,
    ExplainPictureRequest,
    ExplainPicturesRequest,
    ExplainPicturesResult,
    PredictPicturesResult,
)
from reel_shared.db.engine import reading
from reel_shared.db.lookups import find_model
from reel_shared.db.models import DatasetVersion, Job
from reel_shared.errors import Conflict, Forbidden, NoModel, NotFound, Unprocessable
from reel_shared.json_lines import JSON_LINES
from reel_shared.security import Principal
from reel_shared.storage import storage
from reel_shared.web import uploads
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Submitter, Visitor, require
from reel_shared.web.envelope import with_urls
from reel_shared.web.media import Family
from reel_shared.web.refusals import refuses
from reel_shared.web.requests import large_body
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView, written_out

PICTURES: tuple[Family, ...] = ("picture",)
Asker = Annotated[Principal, Depends(require("read", "submit"))]


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
    **{name: schema for name, schema in written_out(ExplanationJob)["properties"].items() if name != "key"},
    **{name: {"type": "string", "description": "with commas between them"} for name in _LISTS},
    "metadata": {"type": "string", "description": "JSON"},
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": written_out(ExplanationJob)},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": _FORM_FIELDS, "required": ["file"]}
            },
        },
    }
}

router = Router(tags=["explanations"])


@router.post("/v1/explanations", status_code=202, response_model=JobView, openapi_extra=BODY)
@large_body(lambda: uploads.byte_cap("picture"))
@refuses(NotFound, NoModel)
async def create_explanation(request: Request, principal: Visitor) -> Response:
    """Submit a job that explains a picture: JSON with the `key` of a stored one, or a form with `file` and the
    other fields (lists with commas)."""
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
    _require_labels(session, body.model, [*body.labels, *([body.actual] if body.actual else [])])


def _require_labels(session: Session, name: str, labels: Sequence[str]) -> None:
    model = find_model(session, name)
    classes = model.card["classes"]
    if unknown := [label for label in labels if label not in classes]:
        raise Unprocessable(f"Model {model.id} knows no class {unknown[0]!r}; it knows {_known(classes)}.")


class ExplanationBatchJob(ExplainPicturesRequest, Submission):
    """The body of ``POST /v1/explanation-batches``."""


@router.post("/v1/explanation-batches", status_code=202, response_model=JobView)
@refuses(NotFound, NoModel)
def create_explanation_batch(body: ExplanationBatchJob, principal: Submitter, request: Request) -> Response:
    """Submit a job that explains many pictures: a list of keys, or what a prediction job was not sure of; with
    the scope `read` also a prefix, or a model's mistakes."""
    if (body.prefix or body.mistakes_in) and not principal.may("read"):
        raise Forbidden(
            "A prefix and a model's mistakes name other people's pictures; the key needs the scope 'read'."
        )

    def check(session: Session) -> None:
        model = body.model
        if body.not_sure_in:
            answered = _answered(session, body.not_sure_in, principal)
            model = answered if model == ACTIVE else model
        _require_labels(session, model, body.labels)

    return submit_job(EXPLAIN_PICTURES, body, principal, request, check=check)


def _answered(session: Session, job_id: str, principal: Principal) -> str:
    """Return the model of a prediction job that has succeeded."""
    job = session.get(Job, job_id)
    if job is None or not principal.sees(job.owner):
        raise NotFound(f"There is no job {job_id}.")
    if job.kind != PREDICT_PICTURES.name:
        raise Unprocessable(f"{job_id} is {job.kind}; name a prediction job, of POST /v1/predictions.")
    if job.result is None:
        raise Conflict(f"{job_id} is {job.state} and has no answers; wait until it has succeeded.")
    return PredictPicturesResult.model_validate(job.result).model


@router.get(
    "/v1/explanation-batches/{job_id}/results",
    response_class=StreamingResponse,
    responses={200: {"content": {JSON_LINES: {}}, "description": "a line for each picture"}},
)
@refuses(Conflict)
def explanation_results(job_id: str, principal: Asker) -> StreamingResponse:
    """Return an ended batch's lines, every file in them with a link."""
    with reading() as session:
        job = session.get(Job, job_id)
        if job is None or job.kind != EXPLAIN_PICTURES.name or not principal.sees(job.owner):
            raise NotFound(f"There is no batch of explanations {job_id}.")
        if job.result is None:
            raise Conflict(f"{job_id} is {job.state} and has no results; wait until it has succeeded.")
        file = ExplainPicturesResult.model_validate(job.result).results
    folder = tempfile.TemporaryDirectory(prefix="reel-results-")
    path = storage().get_file(file.key, Path(folder.name) / "results.jsonl", sha256=file.sha256)
    return StreamingResponse(_linked(path, folder), media_type=JSON_LINES)


def _linked(path: Path, folder: tempfile.TemporaryDirectory[str]) -> Iterator[str]:
    with folder, path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.dumps(with_urls(json.loads(line))) + "\n"


class AttentionDifferenceJob(CompareAttentionRequest, Submission):
    """The body of ``POST /v1/attention-differences``."""


@router.post("/v1/attention-differences", status_code=202, response_model=JobView)
@refuses(NotFound, NoModel)
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
