"""Puts the parts together for this process: the registry in the database, files in storage, engine and lanes.

Called by the API and by the tasks, each in its own process.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reel_inference import comparisons
from reel_inference.batching import Batcher
from reel_inference.cache import Answers, Memory
from reel_inference.loop_cache import LoopAnswers
from reel_inference.models import ModelRecord, Models
from reel_inference.predict import Bounds
from reel_inference.shadow import Shadow
from reel_shared import errors
from reel_shared.contracts import ACTIVE, StoredFile
from reel_shared.cores import usable_cores
from reel_shared.db.engine import reading
from reel_shared.db.lookups import find_model
from reel_shared.settings import settings
from reel_shared.storage import storage
from reel_shared.web.rates import Rates

if TYPE_CHECKING:
    from reel_inference.engine import Engine

MemoryT = TypeVar("MemoryT", bound=Memory)


def find_record(model: str) -> ModelRecord:
    """Look up `active` or an id in the database. Raises errors.NoModel or errors.NotFound."""
    with reading() as session:
        row = find_model(session, model)
        files = {name: StoredFile.model_validate(facts) for name, facts in row.files.items()}
        return ModelRecord(row.id, files)


@cache
def models() -> Models:
    """This process's models."""
    return Models(
        find=find_record,
        download=lambda key, path: storage().get_file(key, path),
        load=_load,
        folder=settings().data_dir / "models",
        keep=settings().inference.keep_models,
    )


@cache
def batcher() -> Batcher:
    """This process's lanes."""
    inference = settings().inference
    return Batcher(lanes=_lanes(), max_batch=inference.max_batch, bound=inference.queue)


@cache
def answers() -> Answers:
    """What this process and all others remember of answers, for threads."""
    return _memory(Answers)


@cache
def loop_answers() -> LoopAnswers:
    """The same memory for the API's event loop."""
    return _memory(LoopAnswers)


def _memory(kind: type[MemoryT]) -> MemoryT:
    inference = settings().inference
    url = settings().redis.url.get_secret_value()
    return kind(url, entries=inference.cache_entries, seconds=inference.cache_seconds)


@cache
def rates() -> Rates:
    """How often each key may ask this process."""
    inference = settings().inference
    return Rates(inference.key_requests_per_second, inference.key_burst)


@cache
def shadow() -> Shadow:
    """This process's shadow of the active model."""
    return Shadow(
        find=comparisons.find_plan,
        load=lambda record: _load(models().bring(record), alone=True),
        write=comparisons.add,
        busy=lambda: batcher().waiting > 0,
        bounds=bounds,
    )


def bounds() -> Bounds:
    """What the settings allow a picture to have."""
    limits = settings().limits
    return Bounds(max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes)


def _lanes() -> int:
    return settings().inference.lanes or usable_cores()


def _load(directory: Path, *, alone: bool = False) -> Engine:
    """``alone``: one lane for one picture at a time, for whoever asks beside the lanes."""
    # OpenVINO comes with the first model: the API answers without waiting for it to be imported.
    from reel_inference.engine import load_engine

    inference = settings().inference
    return load_engine(
        directory,
        lanes=1 if alone else _lanes(),
        engine=inference.engine,
        precision=inference.precision,
        max_batch=1 if alone else inference.max_batch,
        wide=not alone,
    )


def check() -> dict[str, Any] | None:
    """Return what serves, for `/readyz`; None when no model is active.

    Raises errors.Unavailable while there is an active model that is not loaded.
    """
    engine = models().resident()
    if engine is not None:
        return facts_of_engine(engine)
    try:
        record = find_record(ACTIVE)
    except errors.NoModel:
        return None
    raise errors.Unavailable(f"Model {record.id} is still being loaded.")


def facts_of_engine(engine: Engine) -> dict[str, Any]:
    """Say which model it is, what runs it, and what was measured of that when the model was published."""
    choice, agreement = engine.choice, engine.agreement
    return {
        "model": engine.card.id,
        "engine": choice.engine,
        "precision": choice.precision,
        "device": engine.device,
        "agreement": agreement.model_dump(mode="json") if agreement else None,
        **({"why": choice.why} if choice.why else {}),
    }


def close() -> None:
    """Answer what is queued and let go of engines and lanes."""
    if batcher.cache_info().currsize:
        batcher().close()
    if answers.cache_info().currsize:
        answers().close()
    forget()


def forget() -> None:
    """Drop engines and lanes; what a forked child inherits of them is dead."""
    models.cache_clear()
    shadow.cache_clear()
    batcher.cache_clear()
    answers.cache_clear()
    loop_answers.cache_clear()
    rates.cache_clear()


os.register_at_fork(after_in_child=forget)
