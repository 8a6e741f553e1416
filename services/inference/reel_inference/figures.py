"""What is counted of answers, for Prometheus: how fast they come, and whether they still look like those to the
validation pictures (drift). Called by the API, the prediction job, the lanes and whoever changes the active model.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from reel_shared.contracts import Prediction
from reel_shared.model_card import ModelCard

BATCH = Histogram(
    "reel_batch_pictures",
    "Pictures that went through a model together",
    buckets=(1, 2, 3, 4, 6, 8, 12, 16, 32),
)
WAITED = Histogram(
    "reel_prediction_seconds",
    "From a prepared picture's place in the queue to its answer",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
ANSWERS = Counter("reel_answers", "Answers of the active model, by their likeliest label", ["label"])
NOT_SURE = Counter("reel_answers_not_sure", "Answers of the active model that it was not sure of")
CONFIDENCE = Histogram(
    "reel_answer_confidence",
    "Probability of the likeliest label in answers of the active model",
    buckets=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
)
EXPECTED_SHARE = Gauge(
    "reel_expected_share", "Part of the active model's answers to its validation pictures", ["label"]
)
EXPECTED_NOT_SURE = Gauge(
    "reel_expected_not_sure_share", "Part of its validation pictures that the active model is not sure of"
)
EXPECTED_CONFIDENCE = Gauge(
    "reel_expected_confidence", "Mean confidence of the active model on its validation pictures"
)


def count(answers: Iterable[Prediction]) -> None:
    """Count answers of the active model."""
    for answer in answers:
        best = answer.predictions[0]
        ANSWERS.labels(best.label).inc()
        CONFIDENCE.observe(best.probability)
        if not answer.confident:
            NOT_SURE.inc()


def expect(card: ModelCard) -> None:
    """Say what answers of the new active model should look like; nothing, where its card does not know."""
    EXPECTED_SHARE.clear()
    expected = card.expected
    if expected is None:
        EXPECTED_NOT_SURE.set(float("nan"))
        EXPECTED_CONFIDENCE.set(float("nan"))
        return
    for label in card.classes:
        EXPECTED_SHARE.labels(label).set(expected.shares.get(label, 0.0))
    EXPECTED_NOT_SURE.set(expected.not_sure)
    EXPECTED_CONFIDENCE.set(expected.confidence)
