"""Owns HTTP for predictions: one picture answered at once, or a job for many.

Mounted by the embedded platform, or served alone through `app`.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic import field_validator
from pydantic_core import from_json
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from reel_inference import figures, serving
from reel_inference.predict import options_of, predict_picture, read_picture
from reel_inference.shadow import Answered
from reel_shared import errors, views
from reel_shared.contracts import ACTIVE, PREDICT_PICTURES, Prediction, PredictPicturesRequest
from reel_shared.db.engine import reading
from reel_shared.db.lookups import find_model
from reel_shared.settings import settings
from reel_shared.web import quotas, uploads
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.app import create_app
from reel_shared.web.auth import Submitter, Visitor
from reel_shared.web.deadlines import Patience
from reel_shared.web.health import Check
from reel_shared.web.media import Family
from reel_shared.web.refusals import refuses
from reel_shared.web.requests import large_body
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView, written_out

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from reel_inference.engine import Pictures

FORM = "multipart/form-data"
INPUTS: tuple[Family, ...] = ("picture", "archive")
MAX_FILES = 1000
"""In one form; more go by key."""
BINARY = {"type": "string", "format": "binary"}
PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": BINARY},
            FORM: {"schema": {"type": "object", "properties": {"file": BINARY}, "required": ["file"]}},
        },
    }
}


class PredictionJob(PredictPicturesRequest, Submission):
    """The body of `POST /v1/predictions`. In a form, `explain_not_sure` is JSON."""

    @field_validator("explain_not_sure", mode="before")
    @classmethod
    def _from_form(cls, value: Any) -> Any:
        return from_json(value) if isinstance(value, str) else value


JOB_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": written_out(PredictionJob)},
            FORM: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": BINARY,
                            "description": "pictures, or one zip of them",
                        },
                        "model": {"type": "string"},
                        "top_k": {"type": "integer"},
                        "tta": {"type": "integer"},
                        "explain_not_sure": {"type": "string", "description": "JSON"},
                        "metadata": {"type": "string", "description": "JSON"},
                    },
                    "required": ["file"],
                }
            },
        },
    }
}


@asynccontextmanager
async def _serve(_app: FastAPI) -> AsyncIterator[None]:
    """Follow the active model and its shadow while the application lives."""
    stop = threading.Event()
    seconds = settings().inference.model_poll_seconds
    watchers = [
        threading.Thread(target=watch, args=(stop, seconds), name=name)
        for name, watch in (("models", serving.models().watch), ("shadow", serving.shadow().run))
    ]
    watchers.append(threading.Thread(target=serving.loop_answers().prepare, name="answers"))
    for watcher in watchers:
        watcher.start()
    # The server listens when this is over: who finds replicas by DNS must not send to one that still loads.
    await run_in_threadpool(serving.models().looked.wait, settings().inference.warm_seconds)
    try:
        yield
    finally:
        stop.set()
        for watcher in watchers:
            await run_in_threadpool(watcher.join)
        await serving.loop_answers().close()
        await run_in_threadpool(serving.close)


router = Router(tags=["predictions"], lifespan=_serve)
MEMORY_NAME = "reelsight"


@router.post("/v1/models/{model}/predict", response_model=Prediction, openapi_extra=PICTURE_BODY)
@large_body(lambda: settings().limits.picture_bytes)
@quotas.counts_as("predictions")
@refuses(errors.BadPicture, errors.NoModel)
async def predict(
    model: str,
    request: Request,
    principal: Visitor,
    deadline: Patience,
    top_k: Annotated[int, Query(ge=1, le=100)] = 3,
    tta: Annotated[int, Query(ge=0, le=views.MOST, description="1: the mirror image counts too")] = 0,
) -> Response:
    """Answer one picture at once, by the `active` model or the one of an id. The body is the picture, or a form
    with `file`. It is not stored; the answer is remembered for a while under its hash, and `Cache-Status` says
    whether it was. Who waits no longer than `Grpc-Timeout` has the picture dropped before the model,
    `deadline-passed`."""
    if model != ACTIVE and not principal.may("submit"):
        raise errors.Forbidden("Visitors of the demo may ask the active model only.")
    serving.rates().take(principal.id)
    serving.batcher().check_room()  # before the body is read
    content = await _one_picture(request)
    engine = serving.models().resident(model)
    if engine is None:
        engine = await run_in_threadpool(serving.models().engine, model)
    views.check(tta, engine.card.recipe, engine.card.id)
    directives = _directives(request)
    looked = await serving.loop_answers().look(
        content,
        engine.fingerprint,
        options_of(top_k=top_k, tta=tta),
        fresh=bool({"no-cache", "no-store"} & directives),
    )
    headers = {
        "X-Model": engine.card.id,
        "X-Engine": engine.name,
        "Cache-Control": "no-store",
        "Cache-Status": f"{MEMORY_NAME}; {looked.status}",
    }
    counted = engine is serving.models().resident()  # drift is a matter of the active model alone
    if looked.answer is not None:
        await quotas.admitted(request)
        figures.count([looked.answer] if counted else [])
        return JSONResponse(looked.answer.model_dump(), headers=headers)
    await quotas.admitted(request)
    prepared: list[Pictures] = []

    def prepare() -> Pictures:
        prepared.append(read_picture(content, engine.size, serving.bounds()))
        return prepared[0]

    answer = await predict_picture(
        engine,
        prepare,
        batcher=serving.batcher(),
        top_k=top_k,
        tta=tta,
        wanted_until=deadline.at,
    )
    figures.count([answer] if counted else [])
    if looked.question and "no-store" not in directives:
        serving.loop_answers().keep(looked.question, answer)
    after: BackgroundTask | None = None
    # by its plain view a shadow cannot be compared with a mean over views
    if model == ACTIVE and not tta and serving.shadow().wants(engine.card.id):
        answered = Answered(content, prepared[0], engine.card.id, answer.predictions[0])
        after = BackgroundTask(_shadowed, answered)  # once the answer is out: nobody waits for the shadow
    return JSONResponse(answer.model_dump(), headers=headers, background=after)


def _directives(request: Request) -> set[str]:
    return {part.strip().lower() for part in request.headers.get("cache-control", "").split(",")}


async def _shadowed(answered: Answered) -> None:
    serving.shadow().offer(answered)


@router.post("/v1/predictions", status_code=202, response_model=JobView, openapi_extra=JOB_BODY)
@large_body(lambda: settings().limits.archive_bytes)
@refuses(errors.NotFound, errors.NoModel)
async def create_prediction(request: Request, principal: Submitter) -> Response:
    """Submit a job that answers pictures: JSON with `keys` or an `archive`, or a form with up to 1000 parts
    `file`, pictures all, or with one zip."""
    body = await uploads.read_batch(
        request, PredictionJob, families=INPUTS, max_files=MAX_FILES, check=_require_model
    )
    if body.archive is not None:
        await uploads.require_stored(body.archive)
    return await run_in_threadpool(
        submit_job,
        PREDICT_PICTURES,
        body,
        principal,
        request,
        check=lambda session: _check_model(session, body),
    )


async def _one_picture(request: Request) -> bytes:
    if "json" in request.headers.get("content-type", ""):
        raise errors.UnsupportedType(
            "Send the picture itself as the body, or a form with it as 'file'; "
            "POST /v1/predictions takes keys of stored pictures as JSON."
        )
    if not request.headers.get("content-type", "").startswith(FORM):
        return await request.body()
    async with request.form(max_files=1) as form:
        for part in form.values():
            if isinstance(part, UploadFile):
                return await part.read()
    raise errors.BadRequest("The form holds no file; send one picture in the field 'file'.")


def _require_model(body: PredictionJob) -> None:
    with reading() as session:
        _check_model(session, body)


def _check_model(session: Session, body: PredictionJob) -> None:
    row = find_model(session, body.model)
    views.check(body.tta, row.card.get("recipe", {}), row.id)


def app() -> FastAPI:
    """The service alone."""
    return create_app("Reelsight inference", [router], ready=[Check("model", serving.check)])
