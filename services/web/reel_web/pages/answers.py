"""`/answers`, `/answers/{id}`, `/examples/{id}` and `/feedback`: the demo without a script, its links, its echo."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from reel_shared import jobs
from reel_shared.contracts import ACTIVE, EXPLAIN_PICTURE, ExplainPictureRequest
from reel_shared.db.engine import reading, transaction
from reel_shared.db.lookups import find_model
from reel_shared.db.models import Feedback, Job
from reel_shared.errors import NotFound, Unauthorized, Unprocessable
from reel_shared.security import DEMO, Principal
from reel_shared.settings import settings
from reel_shared.web import sessions
from reel_shared.web.pagination import listing
from reel_shared.web.quotas import admit, counts_as
from reel_shared.web.requests import large_body
from reel_shared.web.routing import Router
from reel_shared.web.uploads import byte_cap, receive_upload
from reel_web import answers
from reel_web.feedback import feedback_view, narrowed
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Reader

router = Router(route_class=PageRoute)
PAGE_ROWS = 24
MOST_LABELS = 2
KEY = re.compile(r"uploads/[A-Za-z0-9._/-]{1,200}")


def _asker(request: Request) -> Principal:
    """Whoever may use the demo: a visitor where it is public, else somebody signed in whose key may submit."""
    sessions.same_site(request)
    found = sessions.signed_in(request)
    request.state.principal = found
    if settings().web.public_demo:
        return DEMO
    if found is None or not found.may("submit"):
        raise Unauthorized("The demo is not open here; sign in with a key that may submit.")
    return found


async def _counted(request: Request, asker: Annotated[Principal, Depends(_asker)]) -> Principal:
    await admit(request, asker)
    return asker


Asker = Annotated[Principal, Depends(_counted)]


@router.post("/answers")
@large_body(lambda: byte_cap("picture"))
@counts_as("writes", "jobs")
async def ask(request: Request, asker: Asker) -> Response:
    """Explain the form's picture, or one that was uploaded before, by up to two labels; leads to its answer."""
    labels: list[Any]
    method = ""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        async with request.form(max_files=0, max_fields=10) as form:
            chosen, key, labels = form.get("example"), str(form.get("key")), form.getlist("label")
            method = str(form.get("method", ""))
        if chosen is not None:
            key = await run_in_threadpool(_example, str(chosen))
        elif not KEY.fullmatch(key) or ".." in key:
            raise Unprocessable("The form names no picture; choose one and try again.")
    else:
        key, labels = (await receive_upload(request, asker, families={"picture"})).key, []
    job_id = await run_in_threadpool(_submit, asker, key, [str(label) for label in labels if label])
    return RedirectResponse(f"/answers/{job_id}" + f"?method={method}" * (method in answers.METHODS), 303)


def _submit(asker: Principal, key: str, labels: list[str]) -> str:
    wanted = list(dict.fromkeys(labels))[:MOST_LABELS]
    with transaction() as session:
        if unknown := set(wanted) - set(find_model(session, ACTIVE).card["classes"]):
            raise Unprocessable(f"The model does not know {', '.join(sorted(unknown))}.")
        request = ExplainPictureRequest(key=key, labels=wanted, methods=list(answers.METHODS))
        return jobs.submit(session, EXPLAIN_PICTURE, request, owner=asker.id).id


@router.get("/answers/{job_id}")
@router.get("/answers/{job_id}.json")  # registered first: decorators work from below
def show_answer(
    job_id: str,
    request: Request,
    asker: Asker,
    beside: str = "",
    method: Literal["", "gradcam", "guided_backprop", "guided"] = "",
) -> Response:
    """One answer under a link of its own: what the picture is, and where the model looked.

    ``beside`` is an answer for another label of the same picture, ``method`` the one kind of map that is shown.
    """
    viewer: Principal = getattr(request.state, "principal", None) or asker
    with reading() as session:
        shown = answers.answer(session, _explanation(session, job_id, viewer, asker))
        if beside:
            answers.put_beside(shown, answers.answer(session, _explanation(session, beside, viewer, asker)))
    view = {name: value for name, value in (("beside", beside), ("method", method)) if value}
    data = {
        "answer": shown,
        "method": method,
        "hours": settings().web.visitor_hours,
        "base_url": str(request.base_url).rstrip("/"),
    }
    again = f"/answers/{job_id}" + (f"?{urlencode(view)}" if view else "")
    return page(request, "answer.html", data, drawn={"again": again})


def _explanation(session: Session, job_id: str, *askers: Principal) -> Job:
    """Return the job of an answer that one of the askers may see. Raises NotFound."""
    job = session.get(Job, job_id)
    if job is None or job.kind != EXPLAIN_PICTURE.name or not any(one.sees(job.owner) for one in askers):
        raise NotFound(f"There is no answer {job_id}, or it is another one's.")
    return job


@router.get("/examples/{image_id}")
def example(
    image_id: str,
    request: Request,
    asker: Asker,
    size: Annotated[str, Query(pattern="^(thumb|whole)$")] = "whole",
) -> Response:
    """A picture of the row of examples, and no other: whoever may use the demo may see these."""
    key = _example(image_id)
    side = answers.THUMB if size == "thumb" else answers.WHOLE
    headers = {"Cache-Control": "private, max-age=3600"}
    return Response(answers.example_jpeg(key, side), media_type="image/jpeg", headers=headers)


def _example(image_id: str) -> str:
    """Return the key of an example. Raises NotFound."""
    with reading() as session:
        found = answers.examples(session, find_model(session, ACTIVE))
    key = next((each["key"] for each in found if each["id"] == image_id), None)
    if key is None:
        raise NotFound(
            "There is no such example; the model that serves may have changed. Load the page again."
        )
    return key


@router.get("/feedback")
@router.get("/feedback.json")
def list_feedback(
    request: Request, viewer: Reader, right: str = "no", done: str = "no", cursor: str | None = None
) -> Response:
    """What people said of answers; the wrong ones that nobody has looked at unless told otherwise."""
    if not {right, done} <= {"yes", "no", ""}:
        raise Unprocessable("`right` and `done` are yes, no or nothing.")
    wanted = listing(cursor, PAGE_ROWS, right=right or None, done=done or None)
    with reading() as session:
        found = wanted.page(session, narrowed(wanted.filters), Feedback, feedback_view)
    data = {
        **found,
        "right": right,
        "done": done,
        "first_page": cursor is None,
        "may_change": viewer.may("submit"),
    }
    return page(request, "feedback.html", data)
