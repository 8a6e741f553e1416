"""What follows what: the table fits the contracts, and leads nowhere in a circle."""

from __future__ import annotations

import pytest

from reel_shared import contracts
from reel_shared.pipelines import PIPELINE, follow_ups

COLLECT = contracts.CollectPicturesRequest(label="mulan", query="mulan fan art", dataset="films", limit=5)


def collected(kept: int) -> dict[str, object]:
    counts = contracts.Counts(seen=9, kept=kept)
    result = contracts.CollectPicturesResult(collection_id="col_1", provider="openverse", counts=counts)
    return result.model_dump(mode="json")


def test_variants_are_made_of_what_a_collection_brought() -> None:
    request = COLLECT.model_dump(mode="json")
    ((kind, follow_up),) = follow_ups("job_1", contracts.COLLECT_PICTURES.name, request, collected(3))
    assert kind is contracts.MAKE_VARIANTS
    assert follow_up == contracts.MakeVariantsRequest(dataset="films", label="mulan", collection_id="col_1")


@pytest.mark.parametrize(("kept", "augment"), [(0, True), (3, False)])
def test_nothing_follows_an_empty_or_unwanted_collection(kept: int, augment: bool) -> None:
    request = COLLECT.model_copy(update={"augment": augment}).model_dump(mode="json")
    assert list(follow_ups("job_1", contracts.COLLECT_PICTURES.name, request, collected(kept))) == []


@pytest.mark.parametrize(
    ("kept", "augment", "collection_id", "wanted"),
    [
        (3, True, "col_1", [contracts.MakeVariantsRequest(dataset="films", collection_id="col_1")]),
        (0, True, "col_1", []),
        (3, False, "col_1", []),
        (3, True, None, []),
    ],
)
def test_variants_are_made_of_an_imports_web_pictures(
    kept: int, augment: bool, collection_id: str | None, wanted: list[contracts.Model]
) -> None:
    request = contracts.ImportDatasetRequest(dataset="films", key="uploads/a.zip", augment=augment)
    counts = contracts.Counts(seen=9, kept=kept)
    result = {"collection_id": collection_id, "counts": counts.model_dump(mode="json")}
    found = follow_ups("job_1", contracts.IMPORT_DATASET.name, request.model_dump(mode="json"), result)
    assert list(found) == [(contracts.MAKE_VARIANTS, each) for each in wanted]


def predicted(not_sure: int) -> dict[str, object]:
    file = contracts.StoredFile(
        key="predictions/a", media_type="application/x-ndjson", size=1, sha256="0" * 64
    )
    return contracts.PredictPicturesResult(
        model="mdl_a", count=9, failed=0, not_sure=not_sure, results=file
    ).model_dump(mode="json")


def test_what_a_prediction_job_is_not_sure_of_is_explained_as_it_was_asked() -> None:
    options = contracts.ExplanationOptions(methods=["gradcam"], alpha=0.5)
    asked = contracts.PredictPicturesRequest(keys=["uploads/a"], explain_not_sure=options)
    plain = contracts.PredictPicturesRequest(keys=["uploads/a"])

    def followed(request: dict[str, object], not_sure: int) -> list[tuple[contracts.Kind, contracts.Model]]:
        return list(follow_ups("job_1", contracts.PREDICT_PICTURES.name, request, predicted(not_sure)))

    ((kind, follow_up),) = followed(asked.model_dump(mode="json"), 2)
    assert kind is contracts.EXPLAIN_PICTURES
    assert follow_up == contracts.ExplainPicturesRequest(
        not_sure_in="job_1", limit=10_000, methods=["gradcam"], alpha=0.5
    )
    assert followed(asked.model_dump(mode="json"), 0) == followed(plain.model_dump(mode="json"), 2) == []
    before = plain.model_dump(mode="json", exclude={"explain_not_sure"})
    assert followed(before, 2) == [], "a job that was submitted before there was such a wish"


@pytest.mark.parametrize("kind", sorted(contracts.KINDS.keys() - {step.after.name for step in PIPELINE}))
def test_nothing_follows_the_other_kinds(kind: str) -> None:
    assert list(follow_ups("job_1", kind, {}, {})) == []


def test_no_chain_of_steps_comes_back_to_its_start() -> None:
    def reached(name: str, seen: frozenset[str]) -> None:
        assert name not in seen, f"{name} follows itself"
        for step in PIPELINE:
            if step.after.name == name:
                reached(step.then.name, seen | {name})

    for name in contracts.KINDS:
        reached(name, frozenset())


def test_each_steps_kinds_are_in_the_contracts() -> None:
    for step in PIPELINE:
        assert contracts.KINDS[step.after.name] is step.after
        assert contracts.KINDS[step.then.name] is step.then
