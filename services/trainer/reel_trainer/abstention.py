"""From what confidence on an answer is worth giving; called by ``assessment``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reel_shared.contracts.evaluations import Abstention, CoveragePoint
from reel_shared.model_card import NOT_SURE_BELOW
from reel_trainer.calibration import Doubles

ENOUGH_GROUPS = 20
"""So many independent groups must have got an answer before its accuracy is believed."""
POINTS = 100
"""Of the curve, at most."""


def propose(
    confidence: Doubles,
    right: npt.NDArray[np.bool_],
    groups: Sequence[str],
    *,
    wanted: float,
    held_out: bool,
) -> Abstention:
    """Return the smallest confidence at and above which answers reach the accuracy ``wanted``, and what it costs.

    All three are of validation pictures. Where too few groups lie above, the default is taken, with a note.
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order]
    last = np.append(sure[1:] != sure[:-1], True)  # a threshold takes all pictures of one confidence or none
    accuracy = np.cumsum(right[order]) / np.arange(1, len(sure) + 1)
    first = np.unique(np.asarray(groups)[order], return_index=True)[1]
    independent = np.searchsorted(np.sort(first), np.arange(len(sure)), side="right")
    good = np.flatnonzero(last & (accuracy >= wanted) & (independent >= ENOUGH_GROUPS))
    if not held_out:
        note = "The model was trained on these pictures too: its accuracy on them says nothing about others."
    elif len(first) < ENOUGH_GROUPS:
        note = (
            f"The validation pictures make up {len(first)} independent group(s); {ENOUGH_GROUPS} are needed."
        )
    elif not len(good):
        note = (
            f"No threshold reaches an accuracy of {wanted:g} on pictures of {ENOUGH_GROUPS} groups or more."
        )
    else:
        note = ""
    threshold = NOT_SURE_BELOW if note else float(sure[good[-1]])
    given = confidence >= threshold
    ends = np.flatnonzero(last)
    shown = ends[np.unique(np.linspace(0, len(ends) - 1, min(POINTS, len(ends))).round().astype(int))]
    return Abstention(
        not_sure_below=threshold,
        wanted_accuracy=wanted,
        from_data=not note,
        note=f"{note} The threshold is the default of {NOT_SURE_BELOW}." if note else "",
        coverage=float(given.mean()),
        accuracy=float(right[given].mean()) if given.any() else None,
        curve=[
            CoveragePoint(
                threshold=float(sure[end]),
                coverage=float((end + 1) / len(sure)),
                accuracy=float(accuracy[end]),
            )
            for end in shown[::-1]
        ],
    )
