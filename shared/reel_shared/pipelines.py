"""Which job follows which, as data. ``jobs.succeed`` submits what stands here in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from reel_shared import contracts
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXPLAIN_PICTURES,
    IMPORT_DATASET,
    MAKE_VARIANTS,
    PREDICT_PICTURES,
    JsonObject,
    Kind,
    Model,
)


class Step(NamedTuple):
    after: Kind
    then: Kind
    when: Callable[[JsonObject, JsonObject], bool]
    """Given the finished job's request and result."""
    request: Callable[[str, JsonObject, JsonObject], Model]
    """Given its id too."""


PIPELINE: tuple[Step, ...] = (
    Step(
        after=COLLECT_PICTURES,
        then=MAKE_VARIANTS,
        when=lambda request, result: request["augment"] and result["counts"]["kept"] > 0,
        request=lambda _id, request, result: contracts.MakeVariantsRequest(
            dataset=request["dataset"], label=request["label"], collection_id=result["collection_id"]
        ),
    ),
    Step(
        after=IMPORT_DATASET,
        then=MAKE_VARIANTS,
        when=lambda request, result: (
            request["augment"] and result["collection_id"] is not None and result["counts"]["kept"] > 0
        ),
        request=lambda _id, request, result: contracts.MakeVariantsRequest(
            dataset=request["dataset"], collection_id=result["collection_id"]
        ),
    ),
    Step(
        after=PREDICT_PICTURES,
        then=EXPLAIN_PICTURES,
        when=lambda request, result: request.get("explain_not_sure") is not None and result["not_sure"] > 0,
        request=lambda job_id, request, _result: contracts.ExplainPicturesRequest(
            not_sure_in=job_id, limit=contracts.MOST_EXPLAINED, **request["explain_not_sure"]
        ),
    ),
)


def follow_ups(
    job_id: str, kind: str, request: dict[str, Any], result: dict[str, Any]
) -> Iterator[tuple[Kind, Model]]:
    for step in PIPELINE:
        if step.after.name == kind and step.when(request, result):
            yield step.then, step.request(job_id, request, result)
