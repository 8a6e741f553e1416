"""Owns the job ``explain_pictures``: many stored pictures in, one line of JSON for each out, their drawings in storage.

Called by the worker of the queue ``explainer``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reel_explainer.explain import Asked, PictureExplanation, explain_squares, is_guided
from reel_explainer.fast import FastBody
from reel_explainer.model import ExplainableModel
from reel_explainer.registry import explainable, fast_body
from reel_explainer.tasks.results import PREFIX, stored
from reel_explainer.tasks.selection import Wanted, select
from reel_shared.contracts import EXPLAIN_PICTURES, ExplainPicturesRequest, ExplainPicturesResult
from reel_shared.errors import BadPicture, Corrupt, NotFound, ReelError, TooLarge
from reel_shared.images import open_picture, preprocess
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

JSON_LINES = "application/x-ndjson"
PLAIN_PIXELS, TRACED_PIXELS = 8 * 300 * 300, 4 * 300 * 300
"""Pixels that go through the network at once; traced ones, for guided methods, keep every layer's output."""
HANDS = 4
"""Threads that wait for storage."""

Square = NDArray[np.uint8]


@task(EXPLAIN_PICTURES)
def explain_pictures(context: Context, request: ExplainPicturesRequest) -> Outcome:
    """Explain every picture or say why not; only storage that is away, or a label that there is not, fails the job."""
    selection = select(request)
    model = explainable(selection.model, context.scratch)
    fast = None if is_guided(request) else fast_body(model, context.scratch)
    path, failed, total = context.scratch / "results.jsonl", 0, len(selection.pictures)
    context.progress(0, total, unit="pictures", message="explaining")
    with path.open("w", encoding="utf-8") as lines, ThreadPoolExecutor(HANDS) as hands:
        explained = _lines(context, model, fast, selection.pictures, request, hands)
        for done, line in enumerate(explained, 1):
            failed += "error" in line
            lines.write(json.dumps(line) + "\n")
            context.progress(done, total, unit="pictures", message="explaining")
    results = storage().put_file(PREFIX, path, JSON_LINES, ".jsonl")
    return Outcome(
        ExplainPicturesResult(
            model=model.id, found=selection.found, count=total, failed=failed, results=results
        )
    )


def _lines(
    context: Context,
    model: ExplainableModel,
    fast: FastBody | None,
    pictures: Sequence[Wanted],
    request: ExplainPicturesRequest,
    hands: ThreadPoolExecutor,
) -> Iterator[dict[str, Any]]:
    """Yield a line for each picture in the order asked; the next batch is read while one is explained."""
    groups = list(_groups(pictures, batch_size(model.size, request)))
    reading = [hands.submit(_read, one, model.size) for one in groups[0]] if groups else []
    for place, group in enumerate(groups):
        opened = [future.result() for future in reading]
        following = groups[place + 1] if place + 1 < len(groups) else []
        reading = [hands.submit(_read, one, model.size) for one in following]
        context.check()
        good = [
            (one, found) for one, found in zip(group, opened, strict=True) if not isinstance(found, ReelError)
        ]
        explained = _explained(model, fast, good, request)
        results = hands.map(lambda one: stored(model.id, one, request, fast=fast), explained)
        for one, found in zip(group, opened, strict=True):
            said = {"key": one.key, **({"actual": one.actual} if one.actual else {})}
            if isinstance(found, ReelError):
                yield {**said, "error": found.problem()}
            else:
                yield {**said, **next(results).model_dump(mode="json", exclude={"model"}, exclude_none=True)}


def _explained(
    model: ExplainableModel,
    fast: FastBody | None,
    good: Sequence[tuple[Wanted, Square]],
    request: ExplainPicturesRequest,
) -> list[PictureExplanation]:
    if not good:
        return []
    asked = [Asked(request.labels, one.actual if request.include_actual else None) for one, _ in good]
    squares = [square for _, square in good]
    return explain_squares(model, squares, asked, request, fast=fast.engine if fast else None)


def _read(one: Wanted, size: int) -> Square | ReelError:
    """Return the picture as the model sees it, or what is wrong with it."""
    limits = settings().limits
    try:
        data = storage().get_bytes(one.key, max_bytes=limits.picture_bytes, sha256=one.sha256)
        picture = open_picture(data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes)
        return preprocess(picture, size)
    except (BadPicture, NotFound, TooLarge, Corrupt) as error:
        return error


def batch_size(size: int, request: ExplainPicturesRequest) -> int:
    """Return how many pictures of a side go through the network together."""
    return max(1, (TRACED_PIXELS if is_guided(request) else PLAIN_PIXELS) // size**2)


def _groups(pictures: Sequence[Wanted], size: int) -> Iterator[Sequence[Wanted]]:
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]
