"""Owns what logits mean: calibrated probabilities and the top labels of pictures.

Called by the API for one picture and by the `predict_pictures` job for many.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reel_inference.batching import Batcher
from reel_inference.cache import Answers
from reel_shared import errors
from reel_shared.contracts import LabelProbability, Prediction
from reel_shared.cores import usable_cores
from reel_shared.images import open_picture, preprocess
from reel_shared.model_card import ModelCard
from reel_shared.threads import Pool
from reel_shared.views import average, views_of

if TYPE_CHECKING:
    from reel_inference.engine import Engine, Logits, Pictures


def probabilities(logits: Logits, temperature: float) -> NDArray[np.float64]:
    """Softmax of logits / temperature (Guo et al. 2017) over the last axis, in float64."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def top_labels(logits: Logits, card: ModelCard, *, top_k: int) -> list[LabelProbability]:
    """The `top_k` most probable labels of one picture, best first; equal ones in class order."""
    return _best(probabilities(logits, card.temperature), card, top_k=top_k)


def _best(chances: NDArray[np.float64], card: ModelCard, *, top_k: int) -> list[LabelProbability]:
    order = np.argsort(-chances, kind="stable")[:top_k]
    return [LabelProbability(label=card.classes[i], probability=float(chances[i])) for i in order]


def answer(logits: Logits, card: ModelCard, *, top_k: int) -> Prediction:
    """What a model says of one picture, and whether it is sure of it by its card's threshold.

    `logits` (views, classes) has the plain view first; the views' probabilities are averaged.
    """
    labels = _best(average(probabilities(logits, card.temperature)), card, top_k=top_k)
    sure = labels[0].probability >= card.not_sure_below
    return Prediction(model=card.id, predictions=labels, confident=sure)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one picture may have: pixels once decoded, bytes before."""

    max_pixels: int
    max_bytes: int


def read_picture(content: bytes, size: int, bounds: Bounds) -> Pictures:
    """Decode and prepare one picture: uint8 (size, size, 3). Raises errors.BadPicture and its kin."""
    return preprocess(open_picture(content, max_pixels=bounds.max_pixels, max_bytes=bounds.max_bytes), size)


async def predict_picture(
    engine: Engine,
    prepare: Callable[[], Pictures],
    *,
    batcher: Batcher,
    top_k: int,
    tta: int = 0,
    wanted_until: float | None = None,
) -> Prediction:
    """Predict one picture by itself and `tta` changed views, without holding a thread; a lane will `prepare` it.

    Raises what `prepare` raises, errors.TooManyRequests when too many wait, and errors.DeadlinePassed when no lane
    took the picture by `wanted_until`, in seconds of time.monotonic.
    """
    until = math.inf if wanted_until is None else wanted_until
    row = batcher.submit(engine, lambda: views_of(prepare(), tta), views=1 + tta, wanted_until=until)
    return answer(await asyncio.wrap_future(row), engine.card, top_k=top_k)


@dataclass(frozen=True, slots=True)
class Answer:
    """One input's outcome: what the model says, or the reason why it says nothing."""

    prediction: Prediction | None = None
    error: errors.ReelError | None = None
    cached: bool = False


def predict_pictures(
    engine: Engine,
    contents: Iterable[Callable[[], bytes]],
    *,
    bounds: Bounds,
    batcher: Batcher,
    top_k: int,
    tta: int = 0,
    memory: Answers | None = None,
    timeout: float = 60.0,
    ahead: int = 64,
) -> Iterator[Answer]:
    """Predict many pictures; each fails alone, with its own error. Answers come in the order of `contents`.

    `contents` are functions that fetch one file's bytes. `ahead` of them are under way at a time, no more than the
    batcher can queue, each with `tta` changed views: the lanes never wait for the last of a part. What `memory`
    holds is not computed; without it nothing is remembered.
    Errors worth a retry of the whole job (storage away) are raised, not written down.
    """
    begin = partial(
        _begin,
        engine,
        bounds=bounds,
        batcher=batcher,
        memory=memory,
        tta=tta,
        options=options_of(top_k=top_k, tta=tta),
        timeout=timeout,
    )
    under_way: deque[Future[_Begun]] = deque()
    pool = Pool(usable_cores(), thread_name_prefix="fetch")
    try:
        for content in contents:
            if len(under_way) == ahead:
                yield _finish(under_way.popleft().result(), engine, top_k=top_k, memory=memory)
            under_way.append(pool.submit(begin, content))
        while under_way:
            yield _finish(under_way.popleft().result(), engine, top_k=top_k, memory=memory)
    finally:
        pool.shutdown(cancel_futures=True)


def options_of(*, top_k: int, tta: int) -> str:
    """What of a request changes an answer, besides picture and model: a part of its name in the memory."""
    return f"top_k={top_k} tta={tta}"


class _Begun(NamedTuple):
    """One input on its way; ``question`` is its name in the memory, where there is one."""

    outcome: Future[Logits] | Prediction | errors.ReelError
    question: str = ""


def _begin(
    engine: Engine,
    content: Callable[[], bytes],
    *,
    bounds: Bounds,
    batcher: Batcher,
    tta: int,
    memory: Answers | None,
    options: str,
    timeout: float,
) -> _Begun:
    question = ""
    try:
        data = content()
        if memory is not None and memory.on:
            looked = memory.look(data, engine.fingerprint, options)
            if looked.answer is not None:
                return _Begun(looked.answer)
            question = looked.question
    except errors.ReelError as error:
        if error.retryable:
            raise
        return _Begun(error)

    def prepare() -> list[Pictures]:
        return views_of(read_picture(data, engine.size, bounds), tta)

    return _Begun(batcher.submit(engine, prepare, views=1 + tta, timeout=timeout), question)


def _finish(begun: _Begun, engine: Engine, *, top_k: int, memory: Answers | None) -> Answer:
    outcome = begun.outcome
    if isinstance(outcome, errors.ReelError):
        return Answer(error=outcome)
    if isinstance(outcome, Prediction):
        return Answer(prediction=outcome, cached=True)
    try:
        prediction = answer(outcome.result(), engine.card, top_k=top_k)
    except errors.ReelError as error:
        if error.retryable:
            raise
        return Answer(error=error)
    if memory is not None and begun.question:
        memory.keep(begun.question, prediction)
    return Answer(prediction=prediction)
