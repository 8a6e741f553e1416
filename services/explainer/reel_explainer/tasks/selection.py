"""Which pictures a batch of explanations means. Called by the job ``explain_pictures``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from reel_explainer.registry import evaluation
from reel_shared.contracts import (
    ACTIVE,
    PREDICT_PICTURES,
    ExplainPicturesRequest,
    PredictPicturesResult,
    WantedPicture,
)
from reel_shared.contracts.evaluations import EvaluatedPicture
from reel_shared.db.engine import transact
from reel_shared.db.models import Job
from reel_shared.errors import Unprocessable
from reel_shared.storage import storage

RESULTS_BYTES = 2**28
COUNTED = 100_000
"""Keys under a prefix that are counted; what a prefix names beyond may be anything."""


@dataclass(frozen=True)
class Selection:
    model: str
    """An id, or ``active``."""
    pictures: list[WantedPicture]
    found: int
    """Before the limit."""


def select(request: ExplainPicturesRequest) -> Selection:
    """Find the pictures that a request names, at most its limit.

    Raises:
        NoModel, NotFound: there is no such model.
        Unprocessable: the model was never judged; the job is no prediction that has succeeded, or of an archive.
    """
    model = request.model
    if request.mistakes_in:
        model, judged = evaluation(model)
        mistakes = sorted(
            (one for one in judged.pictures if not one.right and _is_in(one, request.mistakes_in)),
            key=lambda one: -one.loss,
        )
        wanted = [WantedPicture(key=one.key, sha256=one.sha256, actual=one.label) for one in mistakes]
    elif request.not_sure_in:
        answered = _answers(request.not_sure_in)
        model = answered.model if model == ACTIVE else model
        wanted = [WantedPicture(key=key) for key in _not_sure(answered)]
    elif request.prefix:
        wanted = [WantedPicture(key=found.key) for found in islice(storage().list(request.prefix), COUNTED)]
    else:
        wanted = [WantedPicture(key=key) for key in request.keys]
    return Selection(model, wanted[: request.limit], len(wanted))


def _is_in(one: EvaluatedPicture, part: str) -> bool:
    kind, _, name = part.partition(":")
    if kind == "probe":
        return one.probe == name if name else bool(one.probe)
    return not one.probe and part in ("all", one.source.value)


def _answers(job_id: str) -> PredictPicturesResult:
    job = transact(lambda session: session.get(Job, job_id))
    if job is None or job.kind != PREDICT_PICTURES.name or job.result is None:
        raise Unprocessable(f"{job_id} is no prediction job that has succeeded; name one that has.")
    return PredictPicturesResult.model_validate(job.result)


def _not_sure(answered: PredictPicturesResult) -> Iterator[str]:
    file = answered.results
    for line in storage().get_bytes(file.key, max_bytes=RESULTS_BYTES, sha256=file.sha256).splitlines():
        answer = json.loads(line)
        if answer.get("confident") is not False:
            continue
        if "key" not in answer:
            raise Unprocessable(
                "The pictures of that job came in an archive and are not stored one by one; upload those to explain."
            )
        yield answer["key"]
