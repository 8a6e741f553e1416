"""Owns the `predict_pictures` job: stored pictures in, one line of JSON for each out.

Called by the worker of the queue `inference`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from reel_inference import predict, serving
from reel_inference.engine import Engine
from reel_shared import contracts, views
from reel_shared.contracts import ACTIVE, PREDICT_PICTURES, PredictPicturesRequest, PredictPicturesResult
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

JSON_LINES = "application/x-ndjson"


@task(PREDICT_PICTURES)
def predict_pictures(context: Context, request: PredictPicturesRequest) -> Outcome:
    """Answer every key with its labels or its own error; only storage that is away fails the job."""
    models = serving.models()
    engine = models.refresh() if request.model == ACTIVE else models.engine(request.model)
    views.check(request.tta, engine.card.recipe, engine.card.id)
    path, failed, cached = context.scratch / "results.jsonl", 0, 0
    with path.open("w", encoding="utf-8") as lines:
        for key, answer in _answers(context, request, engine):
            failed += answer.error is not None
            cached += answer.cached
            lines.write(_line(key, answer) + "\n")
    results = storage().put_file("predictions", path, JSON_LINES, ".jsonl")
    result = PredictPicturesResult(
        model=engine.card.id, count=len(request.keys), failed=failed, cached=cached, results=results
    )
    return Outcome(result)


def _answers(
    context: Context, request: PredictPicturesRequest, engine: Engine
) -> Iterator[tuple[contracts.ObjectKey, predict.Answer]]:
    """Yield keys with answers in the order asked, a queueful at a time, reporting between."""
    step, total = max(1, settings().inference.queue // (1 + request.tta)), len(request.keys)
    for start in range(0, total, step):
        keys = request.keys[start : start + step]
        contents = [_reader(key) for key in keys]
        answers = predict.predict_pictures(
            engine,
            contents,
            bounds=serving.bounds(),
            batcher=serving.batcher(),
            top_k=request.top_k,
            tta=request.tta,
            memory=serving.answers(),
        )
        yield from zip(keys, answers, strict=True)
        context.progress(start + len(keys), total, unit="pictures", message="predicting")


def _reader(key: str) -> Callable[[], bytes]:
    return lambda: storage().get_bytes(key, max_bytes=settings().limits.picture_bytes)


def _line(key: str, answer: predict.Answer) -> str:
    if answer.prediction is None:
        return json.dumps({"key": key, "error": answer.error.problem() if answer.error else None})
    return json.dumps({"key": key, **answer.prediction.model_dump(exclude={"model"})})
