"""Owns what the demo shows besides its form: examples of the model that serves, and an explanation as an answer.

Called by `pages.try_it` and `pages.answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import ImageState
from reel_shared.contracts.base import Source
from reel_shared.contracts.evaluations import EvaluatedPicture
from reel_shared.contracts.explanations import Method
from reel_shared.db.models import Feedback, Image, Job, TrainedModel
from reel_shared.errors import NotFound, ReelError
from reel_shared.images import open_picture, to_jpeg
from reel_shared.retention import VISITORS
from reel_shared.settings import settings
from reel_shared.storage import hasty_storage
from reel_shared.web.envelope import with_urls
from reel_web.evaluations import evaluation_of
from reel_web.summaries import summary

EXAMPLES = 6
THUMB, WHOLE = 112, 640
"""The longer side of an example in the row of them, and as it is tried, pixels."""
METHODS: tuple[Method, ...] = ("gradcam", "guided_backprop", "guided")


def examples(session: Session, model: TrainedModel) -> list[dict[str, str]]:
    """Return pictures that judged the model and that it gets right, one of each class, web pictures before frames.

    None while storage is away or the model has no evaluation: the page works without them.
    """
    try:
        evaluation = evaluation_of(model)
    except ReelError:
        return []
    if evaluation is None:
        return []
    chosen: dict[str, EvaluatedPicture] = {}
    for picture in sorted(evaluation.pictures, key=_preference):
        if picture.right:
            chosen.setdefault(picture.label, picture)
    found = sorted(chosen.values(), key=lambda picture: picture.id)[:EXAMPLES]
    standing = _standing(session, [picture.id for picture in found])
    return [{"id": picture.id, "key": picture.key} for picture in found if picture.id in standing]


def _preference(picture: EvaluatedPicture) -> tuple[bool, bool, float]:
    return bool(picture.probe), picture.source != Source.WEB, -picture.top[0].probability


def _standing(session: Session, ids: Sequence[str]) -> set[str]:
    query = sa.select(Image.id).where(Image.id.in_(ids), Image.state != ImageState.REMOVED)
    return set(session.scalars(query))


@lru_cache(maxsize=64)
def example_jpeg(key: str, side: int) -> bytes:
    """Return an example with its longer side at most `side` pixels. Raises errors.NotFound when it is gone."""
    limits = settings().limits
    data = hasty_storage().get_bytes(key, max_bytes=limits.picture_bytes)
    picture = open_picture(data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes)
    picture.thumbnail((side, side))
    return to_jpeg(picture, quality=82)


def answer(session: Session, job: Job) -> dict[str, Any]:
    """Return an explanation as the answer that it holds: probabilities, pictures, whether the model is sure."""
    result = job.result or {}
    model = session.get(TrainedModel, result["model"]) if result else None
    predictions = result.get("predictions", [])
    threshold = model.card.get("not_sure_below") if model else None
    said = None
    if model is not None:
        row = session.scalar(sa.select(Feedback).filter_by(key=job.request["key"], model_id=model.id))
        said = {"right": row.right, "label": row.label} if row else None
    return {
        **summary(job),
        "error": job.error,
        "key": job.request["key"],
        "visitors": job.request["key"].startswith(f"{VISITORS}/"),
        "model": {"id": model.id, "number": model.number, "classes": model.card["classes"]}
        if model
        else None,
        "predictions": predictions,
        "confident": bool(predictions) and (threshold is None or predictions[0]["probability"] >= threshold),
        "picture": with_urls(result.get("picture")),
        "explanations": with_urls(result.get("explanations", [])),
        "said": said,
    }


def put_beside(shown: dict[str, Any], other: dict[str, Any]) -> None:
    """Add the explanation of another label to an answer, which has ended when both have.

    Raises:
        NotFound: they are not of the same picture and model.
    """
    if other["key"] != shown["key"] or (shown["model"] and other["model"] not in (None, shown["model"])):
        raise NotFound("These answers are not of the same picture, or not by the same model.")
    shown["ended"] = shown["ended"] and other["ended"]
    shown["explanations"] = [*shown["explanations"], *other["explanations"]]
