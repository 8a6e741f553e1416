"""Owns the job ``explain_picture``: a stored picture in, its explanations as files out.

Called by the worker of the queue ``explainer``.
"""

from __future__ import annotations

import numpy as np

from reel_explainer import explain
from reel_explainer.judging import Judgement, judge
from reel_explainer.model import ExplainableModel
from reel_explainer.registry import explainable, fast_body
from reel_explainer.tasks.results import PREFIX, VISITORS, stored
from reel_shared.contracts import EXPLAIN_PICTURE, ExplainPictureRequest
from reel_shared.contracts.explanations import Method
from reel_shared.images import open_picture
from reel_shared.jobs import Outcome
from reel_shared.retention import VISITORS as UPLOADS
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage


@task(EXPLAIN_PICTURE)
def explain_picture(context: Context, request: ExplainPictureRequest) -> Outcome:
    """Explain one picture by the model that is asked for, as it stands when the job runs."""
    limits = settings().limits
    data = storage().get_bytes(request.key, max_bytes=limits.picture_bytes)
    picture = open_picture(data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes)
    model = explainable(request.model, context.scratch)
    context.check()
    fast = None if explain.is_guided(request) else fast_body(model, context.scratch)
    found = explain.explain_picture(
        model,
        np.asarray(picture),
        request.labels,
        request,
        actual=request.actual,
        fast=fast.engine if fast else None,
    )
    judged = _judged(context, model, found, request) if request.faithfulness else {}
    prefix = VISITORS if request.key.startswith(f"{UPLOADS}/") else PREFIX
    return Outcome(stored(model.id, found, request, judged, fast, prefix))


def _judged(
    context: Context,
    model: ExplainableModel,
    found: explain.PictureExplanation,
    request: ExplainPictureRequest,
) -> dict[str, dict[Method, Judgement]]:
    labels = [one.label for one in found.explanations]
    return judge(model, found.square, labels, request.methods, check=context.check)
