"""What is taken for what, and on which films; called by ``assessment``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np

from reel_shared.contracts.evaluations import Confusion, ConfusionCell, EvaluatedPicture, HeatCell

IDS = 24
"""Pictures that a cell names, at most."""
Kind = Literal["film", "source", "probe"]


def confusion(pictures: Sequence[EvaluatedPicture], classes: Sequence[str]) -> Confusion:
    """Count pictures by label and answer; each cell names those that the model is surest of."""
    members: dict[tuple[str, str], list[EvaluatedPicture]] = defaultdict(list)
    for picture in pictures:
        members[picture.label, picture.predicted].append(picture)
    cells = [
        _cell(label, predicted, members[label, predicted])
        for label in classes
        for predicted in classes
        if (label, predicted) in members
    ]
    wrong = [cell for cell in cells if cell.label != cell.predicted]
    return Confusion(
        counts=[[len(members.get((label, other), ())) for other in classes] for label in classes],
        cells=cells,
        confused=sorted(wrong, key=lambda cell: -cell.images),
    )


def heat_map(pictures: Sequence[EvaluatedPicture]) -> list[HeatCell]:
    """Return the accuracy of each film, source and probe set on each class that it has pictures of."""
    found: dict[tuple[Kind, str, str], list[bool]] = defaultdict(list)
    for picture in pictures:
        if picture.probe:
            found["probe", picture.probe, picture.label].append(picture.right)
            continue
        found["source", picture.source.value, picture.label].append(picture.right)
        if picture.film:
            found["film", picture.film, picture.label].append(picture.right)
    return [
        HeatCell(kind=kind, name=name, label=label, images=len(right), accuracy=float(np.mean(right)))
        for (kind, name, label), right in sorted(found.items())
    ]


def _cell(label: str, predicted: str, members: list[EvaluatedPicture]) -> ConfusionCell:
    surest = sorted(members, key=lambda picture: (-picture.top[0].probability, picture.id))
    return ConfusionCell(
        label=label,
        predicted=predicted,
        images=len(members),
        ids=[picture.id for picture in surest[:IDS]],
    )
