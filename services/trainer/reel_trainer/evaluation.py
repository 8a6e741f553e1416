"""Metrics from logits: overall, by source, by drawing style, by class; called by ``answers`` and ``callbacks``.

Rows are validation originals; variants of one picture are not independent and are never counted among them. Probe
sets and variants are judged apart.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from reel_shared.contracts import Metrics, Source
from reel_shared.contracts.evaluations import Gain
from reel_shared.manifest import ManifestImage
from reel_trainer.calibration import Doubles, Numbers, calibration_error, log_probabilities
from reel_trainer.intervals import DRAWS, Judged, accuracy_interval, group_of, middle, resampled

Floats = npt.NDArray[np.float32]
Parts = Callable[[Sequence[ManifestImage]], dict[str, Numbers]]
TOP = 3
_SEED = 0
"""Of the intervals: the same pictures, the same interval."""


def evaluate(
    logits: npt.NDArray[np.floating],
    rows: Sequence[ManifestImage],
    classes: Sequence[str],
    parts: Parts | None = None,
) -> dict[str, Metrics]:
    """Return the metrics of each part that ``parts``, or ``slices``, finds; logits are (rows, classes)."""
    if len(logits) != len(rows):
        raise ValueError(f"{len(logits)} rows of logits for {len(rows)} pictures")
    truth = labels(rows, classes)
    groups = np.array([group_of(row) for row in rows])
    return {
        name: _metrics(
            logits[chosen],
            truth[chosen],
            classes,
            groups[chosen].tolist(),
            _identity([rows[index] for index in chosen.tolist()]),
        )
        for name, chosen in (parts or slices)(rows).items()
    }


def slices(rows: Sequence[ManifestImage]) -> dict[str, Numbers]:
    """Return name -> row numbers of each part of the validation pictures: ``all``, sources, ``web:<style>``."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        found["all"].append(index)
        found[row.source.value].append(index)
        if row.source == Source.WEB and row.style:
            found[f"web:{row.style}"].append(index)
    return _numbered(found)


def probe_slices(rows: Sequence[ManifestImage]) -> dict[str, Numbers]:
    """Return ``probe:<name>`` -> row numbers."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        found[f"probe:{row.probe}"].append(index)
    return _numbered(found)


def variant_slices(rows: Sequence[ManifestImage]) -> dict[str, Numbers]:
    """Return ``variant:<name>`` -> row numbers."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        found[f"variant:{row.variant.value}"].append(index)
    return _numbered(found)


def labels(rows: Sequence[ManifestImage], classes: Sequence[str]) -> Numbers:
    """Return each picture's class by its number."""
    numbers = {label: index for index, label in enumerate(classes)}
    return np.array([numbers[row.label] for row in rows], dtype=np.int64)


def gain(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_], groups: Sequence[str]) -> Gain:
    """Return how much more often the second answers are right than the first, on the same pictures."""
    difference = after.astype(np.float64) - before
    interval = None
    if len(set(groups)) > 1:
        columns = np.column_stack([difference, np.ones(len(difference))])
        drawn = resampled(groups, columns, np.random.default_rng(_SEED), DRAWS)
        interval = middle(drawn[:, 0] / drawn[:, 1])
    return Gain(difference=float(difference.mean()), interval=interval)


def _numbered(found: dict[str, list[int]]) -> dict[str, Numbers]:
    return {name: np.array(found[name], dtype=np.int64) for name in sorted(found)}


def _identity(rows: Sequence[ManifestImage]) -> str:
    """Return a digest of which pictures these are and what they show, in whatever order."""
    known = sorted(f"{row.sha256} {row.label}" for row in rows)
    return hashlib.sha256("\n".join(known).encode()).hexdigest()


def _metrics(
    logits: npt.NDArray[np.floating], truth: Numbers, classes: Sequence[str], groups: list[str], pictures: str
) -> Metrics:
    said = logits.argmax(axis=1)
    right = said == truth
    sure = log_probabilities(logits)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
    loss = -sure[np.arange(len(truth)), truth]
    known = np.arange(len(classes))
    columns = np.column_stack(
        [
            np.ones(len(truth)),
            (best == truth[:, np.newaxis]).any(axis=1),
            loss,
            (right[:, np.newaxis] & (truth[:, np.newaxis] == known)),
            said[:, np.newaxis] == known,
            truth[:, np.newaxis] == known,
        ]
    ).astype(np.float64)
    found = _figures(columns.sum(axis=0, keepdims=True))
    intervals: dict[str, tuple[float, float]] = {}
    if len(set(groups)) > 1:
        drawn = _figures(resampled(groups, columns, np.random.default_rng(_SEED), DRAWS))
        intervals = {f"{name}_interval": middle(values) for name, values in drawn.items()}
    return Metrics.model_validate(
        {
            "accuracy": float(right.mean()),
            "images": len(truth),
            "accuracy_interval": accuracy_interval(Judged(groups, right), seed=_SEED),
            "calibration_error": calibration_error(np.exp(sure), right),
            "per_class": {
                label: float(right[truth == index].mean())
                for index, label in enumerate(classes)
                if (truth == index).any()
            },
            "pictures_sha256": pictures,
            **{name: float(values[0]) for name, values in found.items()},
            **intervals,
        }
    )


def _figures(sums: Doubles) -> dict[str, Doubles]:
    """Return figures from sums over pictures, (draws, columns) as ``_metrics`` lays them out; a class that does not
    occur in a draw takes no part in its macro F1."""
    images, top, loss = sums[:, 0], sums[:, 1], sums[:, 2]
    hits, said, true = np.split(sums[:, 3:], 3, axis=1)
    occurs = true > 0
    f1 = np.where(occurs, 2 * hits / np.where(occurs, said + true, 1), 0)
    return {
        "macro_f1": f1.sum(axis=1) / occurs.sum(axis=1),
        "top3_accuracy": top / images,
        "log_loss": loss / images,
    }
