"""HTTP for rankings of frames by whether anybody is in them: they are made by jobs."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_ingest import marks
from reel_shared.contracts import RANK_SUBJECTS
from reel_shared.contracts.curation import RankSubjectsRequest
from reel_shared.errors import Unprocessable
from reel_shared.web.accepted import Submission, submit_job
from reel_shared.web.auth import Submitter
from reel_shared.web.routing import Router
from reel_shared.web.schemas import JobView

router = Router(tags=["curation"])


class NewRanking(RankSubjectsRequest, Submission):
    """The body of `POST /v1/subject-rankings`."""


@router.post("/v1/subject-rankings", status_code=202, response_model=JobView)
def create_ranking(body: NewRanking, principal: Submitter, request: Request) -> Response:
    """Learn from the marks which frames show background only; with `apply`, reject them in one undoable batch."""

    def check(session: Session) -> None:
        counted = marks.count(session, dataset=body.dataset, label=body.label, movie_id=body.movie_id)
        if not counted["keep"] or not counted["background"]:
            raise Unprocessable(
                f"There are {counted['keep']} frames marked keep and {counted['background']} marked background; "
                "mark some of both first, for instance ten of each."
            )

    return submit_job(RANK_SUBJECTS, body, principal, request, check=check)
