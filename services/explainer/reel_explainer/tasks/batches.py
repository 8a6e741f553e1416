"""Owns the job ``explain_pictures``: many stored pictures in, one line of JSON for each out, their drawings in storage.

Called by the worker of the queue ``explainer``. A large job is cut into parts that are jobs of their own, for as many
workers as there are; their lines are joined in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reel_explainer.explain import Asked, PictureExplanation, explain_squares, is_guided
from reel_explainer.fast import FastBody
from reel_explainer.model import ExplainableModel
from reel_explainer.registry import explainable, fast_body
from reel_explainer.tasks.results import PREFIX, stored
from reel_explainer.tasks.selection import Selection, select
from reel_shared import json_lines
from reel_shared.contracts import (
    EXPLAIN_PART,
    EXPLAIN_PICTURES,
    ExplainPartRequest,
    ExplainPartResult,
    ExplainPicturesRequest,
    ExplainPicturesResult,
    ExplanationOptions,
    WantedPicture,
)
from reel_shared.errors import BadPicture, Corrupt, NotFound, ReelError, TooLarge
from reel_shared.fan_out import Part, earlier_parts, fan_out
from reel_shared.images import open_picture, preprocess
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage
from reel_shared.threads import Pool

UNIT = "pictures"
PART_PICTURES = 100
"""Pictures of a part: seconds of work for Grad-CAM alone, a minute for large networks with guided methods."""
PLAIN_PIXELS, TRACED_PIXELS = 8 * 300 * 300, 4 * 300 * 300
"""Pixels that go through the network at once; traced ones, for guided methods, keep every layer's output."""
HANDS = 4
"""Threads that wait for storage."""

Square = NDArray[np.uint8]


@task(EXPLAIN_PICTURES)
def explain_pictures(context: Context, request: ExplainPicturesRequest) -> Outcome:
    """Explain every picture or say why not; only storage that is away, or a label that there is not, fails the job."""
    selection = _selection(context, request)
    model = explainable(selection.model, context.scratch)
    parts = _parts(request, model.id, selection)
    if len(parts) > 1:
        done = fan_out(context, EXPLAIN_PART, explain_part, parts, unit=UNIT)
        path = json_lines.join(context, [part.results for part in done])
        failed = sum(part.failed for part in done)
    else:
        path, failed = _explain(context, model, selection.pictures, request)
    return Outcome(
        ExplainPicturesResult(
            model=model.id,
            found=selection.found,
            count=len(selection.pictures),
            failed=failed,
            parts=max(1, len(parts)),
            results=json_lines.put(PREFIX, path),
        )
    )


@task(EXPLAIN_PART)
def explain_part(context: Context, request: ExplainPartRequest) -> Outcome:
    """Explain a part of a job's pictures."""
    model = explainable(request.model, context.scratch)
    path, failed = _explain(context, model, request.pictures, request)
    return Outcome(
        ExplainPartResult(count=len(request.pictures), failed=failed, results=json_lines.put("parts", path))
    )


def _selection(context: Context, request: ExplainPicturesRequest) -> Selection:
    """Return the pictures and the model of the whole job: in a later attempt those that the first began with."""
    earlier: list[ExplainPartRequest] = earlier_parts(context, EXPLAIN_PART)
    if not earlier:
        return select(request)
    pictures = [picture for part in earlier for picture in part.pictures]
    return Selection(earlier[0].model, pictures, earlier[0].found)


def _parts(request: ExplainPicturesRequest, model: str, selection: Selection) -> list[Part]:
    shared: dict[str, Any] = {name: getattr(request, name) for name in ExplanationOptions.model_fields}
    shared |= {"labels": request.labels, "include_actual": request.include_actual}
    groups = _groups(selection.pictures, PART_PICTURES)
    return [
        Part(
            ExplainPartRequest(model=model, pictures=list(group), found=selection.found, **shared), len(group)
        )
        for group in groups
    ]


def _explain(
    context: Context,
    model: ExplainableModel,
    pictures: Sequence[WantedPicture],
    request: ExplainPicturesRequest | ExplainPartRequest,
) -> tuple[Path, int]:
    """Write a line for each picture, in order; returns their file and how many failed."""
    fast = None if is_guided(request) else fast_body(model, context.scratch)
    path, failed, total = context.scratch / "results.jsonl", 0, len(pictures)
    context.progress(0, total, unit=UNIT, message="explaining")
    with path.open("w", encoding="utf-8") as lines, Pool(HANDS) as hands:
        explained = _lines(context, model, fast, pictures, request, hands)
        for done, line in enumerate(explained, 1):
            failed += "error" in line
            lines.write(json.dumps(line) + "\n")
            context.progress(done, total, unit=UNIT, message="explaining")
    return path, failed


def _lines(
    context: Context,
    model: ExplainableModel,
    fast: FastBody | None,
    pictures: Sequence[WantedPicture],
    request: ExplainPicturesRequest | ExplainPartRequest,
    hands: Pool,
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
    good: Sequence[tuple[WantedPicture, Square]],
    request: ExplainPicturesRequest | ExplainPartRequest,
) -> list[PictureExplanation]:
    if not good:
        return []
    asked = [Asked(request.labels, one.actual if request.include_actual else None) for one, _ in good]
    squares = [square for _, square in good]
    return explain_squares(model, squares, asked, request, fast=fast.engine if fast else None)


def _read(one: WantedPicture, size: int) -> Square | ReelError:
    """Return the picture as the model sees it, or what is wrong with it."""
    limits = settings().limits
    try:
        data = storage().get_bytes(one.key, max_bytes=limits.picture_bytes, sha256=one.sha256)
        picture = open_picture(data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes)
        return preprocess(picture, size)
    except (BadPicture, NotFound, TooLarge, Corrupt) as error:
        return error


def batch_size(size: int, request: ExplanationOptions) -> int:
    """Return how many pictures of a side go through the network together."""
    return max(1, (TRACED_PIXELS if is_guided(request) else PLAIN_PIXELS) // size**2)


def _groups(pictures: Sequence[WantedPicture], size: int) -> Iterator[Sequence[WantedPicture]]:
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]
