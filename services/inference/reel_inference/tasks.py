"""Owns the prediction jobs: pictures in, one line of JSON for each out. Called by the worker of the queue `inference`.

A large job is cut into parts that are jobs of their own, for as many workers as there are; their lines are joined in
order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from reel_inference import figures, inputs, predict, serving
from reel_inference.engine import Engine
from reel_inference.inputs import Input
from reel_shared import json_lines, views
from reel_shared.contracts import (
    ACTIVE,
    PREDICT_PART,
    PREDICT_PICTURES,
    PredictPartRequest,
    PredictPartResult,
    PredictPicturesRequest,
    PredictPicturesResult,
)
from reel_shared.fan_out import Part, earlier_parts, fan_out
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings

UNIT = "pictures"
PART_KEYS = 250
"""Pictures of a part that are named by key: a few seconds of work, which is what a worker that dies costs."""
PART_FILES = 1000
"""Pictures of a part of an archive, which each part brings whole."""


@task(PREDICT_PICTURES)
def predict_pictures(context: Context, request: PredictPicturesRequest) -> Outcome:
    """Answer every input with its labels or its own error; only storage that is away fails the job."""
    engine = _engine(context, request)
    views.check(request.tta, engine.card.recipe, engine.card.id)
    with _inputs(request, context.scratch) as found:
        parts = _parts(request, engine.card.id, len(found))
        if len(parts) == 1:
            told = _answer(context, found, engine, request, keep=request.explain_not_sure is not None)
    if len(parts) > 1:
        done = fan_out(context, PREDICT_PART, predict_part, parts, unit=UNIT)
        told = _Told(
            json_lines.join(context, [part.results for part in done]),
            sum(part.count for part in done),
            sum(part.failed for part in done),
            sum(part.cached for part in done),
            sum(part.not_sure for part in done),
        )
    return Outcome(
        PredictPicturesResult(
            model=engine.card.id,
            count=told.asked,
            failed=told.failed,
            cached=told.cached,
            not_sure=told.not_sure,
            parts=len(parts),
            results=json_lines.put("predictions", told.path),
        )
    )


@task(PREDICT_PART)
def predict_part(context: Context, request: PredictPartRequest) -> Outcome:
    """Answer a part of a job's inputs."""
    engine = serving.models().engine(request.model)
    with _inputs(request, context.scratch) as found:
        chosen = found if request.archive is None else found[request.start : request.stop]
        told = _answer(context, chosen, engine, request, keep=request.keep_not_sure)
    return Outcome(
        PredictPartResult(
            count=told.asked,
            failed=told.failed,
            cached=told.cached,
            not_sure=told.not_sure,
            results=json_lines.put("parts", told.path),
        )
    )


class _Told(NamedTuple):
    """Lines that were written, and what is in them."""

    path: Path
    asked: int
    failed: int
    cached: int
    not_sure: int


def _engine(context: Context, request: PredictPicturesRequest) -> Engine:
    """Return the model that answers the whole job: in a later attempt the one that the first began with."""
    models = serving.models()
    earlier = earlier_parts(context, PREDICT_PART)
    if earlier:
        return models.engine(earlier[0].model)
    return models.refresh() if request.model == ACTIVE else models.engine(request.model)


def _inputs(
    request: PredictPicturesRequest | PredictPartRequest, folder: Path
) -> AbstractContextManager[list[Input]]:
    if request.archive is not None:
        return inputs.archive(request.archive, folder)
    return nullcontext(inputs.stored(request.keys or []))


def _parts(request: PredictPicturesRequest, model: str, count: int) -> list[Part]:
    """Cut a job of ``count`` inputs; the same for the same request, whoever asks."""
    size = PART_KEYS if request.archive is None else PART_FILES
    shared: dict[str, Any] = {
        "model": model,
        "top_k": request.top_k,
        "tta": request.tta,
        "keep_not_sure": request.explain_not_sure is not None,
    }
    found = []
    for start in range(0, count, size):
        stop = min(start + size, count)
        if request.keys is not None:
            part = PredictPartRequest(keys=request.keys[start:stop], **shared)
        else:
            part = PredictPartRequest(archive=request.archive, start=start, stop=stop, **shared)
        found.append(Part(part, stop - start))
    return found


def _answer(
    context: Context,
    found: Sequence[Input],
    engine: Engine,
    request: PredictPicturesRequest | PredictPartRequest,
    *,
    keep: bool,
) -> _Told:
    """Write a line for each input, in order; ``keep`` stores pictures not yet stored that the model is not sure of."""
    path, failed, cached, not_sure = context.scratch / "results.jsonl", 0, 0, 0
    with path.open("w", encoding="utf-8") as lines:
        for one, answer in _answers(context, found, engine, top_k=request.top_k, tta=request.tta):
            failed += answer.error is not None
            cached += answer.cached
            name = one.name
            if answer.prediction is not None and not answer.prediction.confident:
                not_sure += 1
                if keep and "key" not in name:
                    name = {**name, "key": inputs.keep(one)}
            lines.write(_line(name, answer) + "\n")
    return _Told(path, len(found), failed, cached, not_sure)


def _answers(
    context: Context, found: Sequence[Input], engine: Engine, *, top_k: int, tta: int
) -> Iterator[tuple[Input, predict.Answer]]:
    """Yield inputs with answers in the order asked, reporting each."""
    queue, total = settings().inference.queue, len(found)
    answers = predict.predict_pictures(
        engine,
        [one.read for one in found],
        bounds=serving.bounds(),
        batcher=serving.batcher(),
        top_k=top_k,
        tta=tta,
        memory=serving.answers(),
        ahead=max(1, queue // (1 + tta)),
    )
    for number, (one, answer) in enumerate(zip(found, answers, strict=True), 1):
        # drift is a matter of the active model alone
        if answer.prediction is not None and engine is serving.models().resident():
            figures.count([answer.prediction])
        yield one, answer
        context.progress(number, total, unit=UNIT, message="predicting")


def _line(name: dict[str, str], answer: predict.Answer) -> str:
    if answer.prediction is None:
        return json.dumps({**name, "error": answer.error.problem() if answer.error else None})
    return json.dumps({**name, **answer.prediction.model_dump(exclude={"model"})})
