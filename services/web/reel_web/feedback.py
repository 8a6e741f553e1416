"""The endpoints for what people say of answers: right or wrong, told by anyone, looked at by whoever reviews."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from reel_shared.contracts import ACTIVE
from reel_shared.contracts.base import ObjectKey
from reel_shared.db.engine import reading, transaction
from reel_shared.db.inserts import insert
from reel_shared.db.lookups import find_model
from reel_shared.db.models import Feedback, utcnow
from reel_shared.errors import Forbidden, NoModel, NotFound, Unprocessable
from reel_shared.ids import new_id
from reel_shared.retention import VISITORS
from reel_shared.security import Principal
from reel_shared.storage import storage
from reel_shared.web.auth import Reader, Submitter, Visitor
from reel_shared.web.envelope import timestamp
from reel_shared.web.pagination import Cursor, Limit, listing
from reel_shared.web.refusals import refuses
from reel_shared.web.routing import Router
from reel_shared.web.schemas import Page
from reel_shared.web.uploads import PREFIX, require_stored

router = Router(tags=["feedback"])


class NewFeedback(BaseModel):
    """The body of `POST /v1/feedback`."""

    model_config = ConfigDict(extra="forbid")

    key: ObjectKey = Field(description="of the uploaded picture")
    model: str = Field(default=ACTIVE, description="that answered: its id, or `active`")
    predicted: str = Field(description="what it said")
    right: bool
    label: str = Field(
        default="", description="of a wrong answer: what the picture shows, if that is one of its classes"
    )

    @model_validator(mode="after")
    def _right_answers_need_no_other(self) -> NewFeedback:
        if self.right and self.label:
            raise ValueError("A right answer needs no label; leave it out.")
        return self


class FeedbackView(BaseModel):
    id: str
    key: str
    url: str = Field(description="a link to the picture; it may have been deleted since")
    model_id: str
    predicted: str
    right: bool
    label: str
    by: str = Field(description="the API key that said so, or `demo` for visitors")
    created_at: AwareDatetime
    done_at: AwareDatetime | None


@router.post("/v1/feedback", status_code=201, response_model=FeedbackView)
@refuses(NotFound, NoModel)
async def give_feedback(body: NewFeedback, principal: Visitor) -> Response:
    """Say whether an answer to an uploaded picture was right: `key`, `predicted`, `right`, and of a wrong one
    what it shows, `label`. The last word on a model's answer to a picture counts; a wrong one's picture is kept
    until it has been looked at."""
    _bound_visitors(body, principal)
    await require_stored(body.key)
    return JSONResponse(await run_in_threadpool(_note, body, principal), 201)


def _bound_visitors(body: NewFeedback, principal: Principal) -> None:
    if not body.key.startswith(f"{PREFIX}/"):
        raise Unprocessable("Feedback is about an uploaded picture; send its key from POST /v1/uploads.")
    if not principal.may("submit") and not body.key.startswith(f"{VISITORS}/"):
        raise Forbidden("Visitors may say something of pictures that visitors have tried, nothing else.")


def _note(body: NewFeedback, principal: Principal) -> dict[str, Any]:
    with transaction() as session:
        model = find_model(session, body.model)
        if unknown := {body.predicted, body.label} - {"", *model.card["classes"]}:
            raise Unprocessable(f"The model does not know {', '.join(sorted(unknown))}.")
        said = {
            "predicted": body.predicted,
            "right": body.right,
            "label": body.label,
            "by": principal.id,
            "created_at": utcnow(),
            "done_at": None,
        }
        query = insert(session, Feedback).values(id=new_id("fbk"), key=body.key, model_id=model.id, **said)
        session.execute(query.on_conflict_do_update(index_elements=["key", "model_id"], set_=said))
        row = session.scalars(sa.select(Feedback).filter_by(key=body.key, model_id=model.id)).one()
        return feedback_view(row)


@router.get("/v1/feedback", response_model=Page[FeedbackView])
def list_feedback(
    _principal: Reader,
    right: bool | None = None,
    done: bool | None = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> Response:
    """What people said of answers, the newest first; `right=false&done=false` is what waits for review."""
    words = {True: "yes", False: "no", None: None}
    wanted = listing(cursor, limit, right=words[right], done=words[done])
    with reading() as session:
        return JSONResponse(wanted.page(session, narrowed(wanted.filters), Feedback, feedback_view))


@router.post("/v1/feedback/{feedback_id}/done", response_model=FeedbackView)
def finish_feedback(feedback_id: str, _principal: Submitter) -> Response:
    """Say that somebody has looked at it: a visitor's picture is no longer kept for it. Twice changes nothing."""
    with transaction() as session:
        row = session.get(Feedback, feedback_id)
        if row is None:
            raise NotFound(f"There is no feedback {feedback_id}.")
        row.done_at = row.done_at or utcnow()
        return JSONResponse(feedback_view(row))


def narrowed(filters: dict[str, str]) -> sa.Select[Feedback]:
    """Return a query by `right` and `done`, each `yes`, `no` or left out."""
    query = sa.select(Feedback)
    if "right" in filters:
        query = query.where(Feedback.right.is_(filters["right"] == "yes"))
    if "done" in filters:
        done = Feedback.done_at.is_not(None)
        query = query.where(done if filters["done"] == "yes" else sa.not_(done))
    return query


def feedback_view(row: Feedback) -> dict[str, Any]:
    names = ("id", "key", "model_id", "predicted", "right", "label", "by")
    return {
        **{name: getattr(row, name) for name in names},
        "url": storage().presigned_url(row.key),
        "created_at": timestamp(row.created_at),
        "done_at": timestamp(row.done_at),
    }
