"""`/jobs/queues/{queue}/pause` and `…/resume`: where the buttons of the jobs page lead, also without a script."""

from __future__ import annotations

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from reel_shared import queues
from reel_shared.db.engine import transaction
from reel_shared.security import Principal
from reel_shared.web.routing import Router
from reel_web.rendering import PageRoute
from reel_web.sessions import Administrator

router = Router(route_class=PageRoute)
REASON_LENGTH = 300


@router.post("/jobs/queues/{queue}/pause")
async def pause_queue(queue: str, request: Request, administrator: Administrator) -> Response:
    """Pause the queue for the form's `reason` and go back to the jobs."""
    async with request.form(max_files=0, max_fields=2) as form:
        reason = str(form.get("reason", ""))[:REASON_LENGTH]
    await run_in_threadpool(_pause, queue, administrator, reason)
    return RedirectResponse("/jobs", 303)


def _pause(queue: str, administrator: Principal, reason: str) -> None:
    with transaction() as session:
        queues.pause(session, queue, by=administrator.id, reason=reason)


@router.post("/jobs/queues/{queue}/resume")
def resume_queue(queue: str, administrator: Administrator) -> Response:
    with transaction() as session:
        queues.resume(session, queue, by=administrator.id)
    return RedirectResponse("/jobs", 303)
