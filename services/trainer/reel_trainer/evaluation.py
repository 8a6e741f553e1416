"""Metrics from logits: overall, by source, by drawing style, by class; called by ``training`` and ``callbacks``.

Rows are validation originals; variants of one picture are not independent and are never counted. Probe sets are
judged apart from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from reel_shared.contracts import Metrics, Source
from reel_shared.manifest import ManifestImage
from reel_trainer.intervals import accuracy_interval, judged

Floats = npt.NDArray[np.float32]

BINS = 10
"""Of confidence, each as wide as the next."""
TOP = 3


def evaluate(logits: Floats, rows: Sequence[ManifestImage], classes: Sequence[str]) -> dict[str, Metrics]:
    """Return metrics for ``all``, each source present, and ``web:<style>``; logits are (rows, classes)."""
    if len(logits) != len(rows):
        raise ValueError(f"{len(logits)} rows of logits for {len(rows)} pictures")
    truth = np.array([classes.index(row.label) for row in rows])
    return {
        name: _metrics(logits[chosen], truth[chosen], classes, [rows[index] for index in chosen.tolist()])
        for name, chosen in slices(rows).items()
    }


def evaluate_probes(
    logits: Floats, rows: Sequence[ManifestImage], classes: Sequence[str]
) -> dict[str, Metrics]:
    """Return metrics by ``probe:<name>`` of pictures of probe sets; logits are (rows, classes)."""
    if len(logits) != len(rows):
        raise ValueError(f"{len(logits)} rows of logits for {len(rows)} pictures")
    truth = np.array([classes.index(row.label) for row in rows])
    found = {}
    for name in sorted({row.probe for row in rows}):
        chosen = np.array([index for index, row in enumerate(rows) if row.probe == name])
        shown = [rows[index] for index in chosen.tolist()]
        found[f"probe:{name}"] = _metrics(logits[chosen], truth[chosen], classes, shown)
    return found


def slices(rows: Sequence[ManifestImage]) -> dict[str, npt.NDArray[np.int64]]:
    """Return name -> row numbers of each part of the validation pictures that is reported."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        found["all"].append(index)
        found[row.source.value].append(index)
        if row.source == Source.WEB and row.style:
            found[f"web:{row.style}"].append(index)
    return {name: np.array(found[name]) for name in sorted(found)}


def log_probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def calibration_error(probabilities: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    """Return the mean distance of confidence from accuracy, pictures in bins of like confidence (Naeini 2015).

    ``probabilities`` are (pictures, classes).
    """
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    gaps = np.bincount(bins, weights=confidence, minlength=BINS) - np.bincount(
        bins, weights=right, minlength=BINS
    )
    return float(np.abs(gaps).sum() / len(right))


def _metrics(
    logits: Floats, truth: npt.NDArray[np.int64], classes: Sequence[str], rows: Sequence[ManifestImage]
) -> Metrics:
    said = logits.argmax(axis=1)
    right = said == truth
    sure = log_probabilities(logits)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
    present = np.unique(truth)
    return Metrics(
        accuracy=float(right.mean()),
        images=len(truth),
        accuracy_interval=accuracy_interval(judged(rows, right.tolist())),
        macro_f1=float(f1_score(truth, said, labels=present, average="macro", zero_division=0)),
        top3_accuracy=float((best == truth[:, np.newaxis]).any(axis=1).mean()),
        log_loss=float(-sure[np.arange(len(truth)), truth].mean()),
        calibration_error=calibration_error(np.exp(sure), right),
        per_class={
            label: float(right[truth == index].mean())
            for index, label in enumerate(classes)
            if index in present
        },
    )
