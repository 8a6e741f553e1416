"""Metrics from logits: overall, by source, by drawing style, by class; called by ``training`` and ``callbacks``.

Rows are validation originals; variants of one picture are not independent and are never counted. Probe sets are
judged apart from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reel_shared.contracts import Metrics, Source
from reel_shared.manifest import ManifestImage

Floats = npt.NDArray[np.float32]


def evaluate(logits: Floats, rows: Sequence[ManifestImage], classes: Sequence[str]) -> dict[str, Metrics]:
    """Return metrics for ``all``, each source present, and ``web:<style>``; logits are (rows, classes)."""
    if len(logits) != len(rows):
        raise ValueError(f"{len(logits)} rows of logits for {len(rows)} pictures")
    truth = np.array([classes.index(row.label) for row in rows])
    return {name: _metrics(logits[chosen], truth[chosen], classes) for name, chosen in slices(rows).items()}


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
        found[f"probe:{name}"] = _metrics(logits[chosen], truth[chosen], classes)
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


def _metrics(logits: Floats, truth: npt.NDArray[np.int64], classes: Sequence[str]) -> Metrics:
    right = logits.argmax(axis=1) == truth
    return Metrics(
        accuracy=float(right.mean()),
        images=len(truth),
        log_loss=float(-log_probabilities(logits)[np.arange(len(truth)), truth].mean()),
        per_class={
            label: float(right[truth == index].mean())
            for index, label in enumerate(classes)
            if (truth == index).any()
        },
    )
