"""Owns the ``explain_picture`` job: a stored picture in, overlays in storage out.

Called by the worker of the queue ``explainer``.
"""

from __future__ import annotations

import numpy as np

from reel_explainer import explain
from reel_explainer.overlay import png
from reel_explainer.registry import explainable
from reel_shared.contracts import (
    EXPLAIN_PICTURE,
    ExplainPictureRequest,
    ExplainPictureResult,
    Explanation,
    LabelProbability,
    StoredFile,
)
from reel_shared.images import open_picture
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

LISTED = 20
"""Predictions in a result; a model may know more classes."""


@task(EXPLAIN_PICTURE)
def explain_picture(context: Context, request: ExplainPictureRequest) -> Outcome:
    """Explain one picture by the model that is asked for, as it stands when the job runs."""
    limits = settings().limits
    data = storage().get_bytes(request.key, max_bytes=limits.picture_bytes)
    picture = open_picture(data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes)
    model = explainable(request.model, context.scratch)
    context.check()
    found = explain.explain_picture(model, np.asarray(picture), request.labels, request.methods)
    result = ExplainPictureResult(
        model=model.id,
        predictions=[
            LabelProbability(label=label, probability=chance) for label, chance in found.predictions[:LISTED]
        ],
        picture=_store(png(found.square)),
        explanations=[_stored(one) for one in found.explanations],
    )
    return Outcome(result)


def _stored(one: explain.LabelExplanation) -> Explanation:
    return Explanation(
        label=one.label,
        probability=one.probability,
        gradcam=_store(one.gradcam) if one.gradcam else None,
        guided=_store(one.guided) if one.guided else None,
        border_share=one.border_share,
    )


def _store(data: bytes) -> StoredFile:
    return storage().put_bytes("explanations", data, "image/png", ".png")
