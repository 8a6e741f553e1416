"""What the report shows with pictures: worst mistakes, the confusion's cells, where each class looks.

Called by ``page``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from reel_networks.gradcam import normalise
from reel_networks.overlay import heated
from reel_shared.contracts import ClassAttention, Shortcut
from reel_shared.contracts.evaluations import Confusion, ConfusionCell, EvaluatedPicture, Evaluation
from reel_trainer.attention import Heats, heat_of_rows
from reel_trainer.cache import Pixels
from reel_trainer.data import Normalize
from reel_trainer.report.figures import part_name
from reel_trainer.report.gallery import Gallery

WORST = {"": 12, "probe": 6}
"""Shown of validation pictures, and of each probe set."""
WRONG_OF_A_CELL, RIGHT_OF_A_CELL = 8, 2
MOST_CLASSES = 40
"""Rows and columns of a confusion matrix; of more classes those with the most mistakes are shown."""
MOST_MAPS = 40
LARGE = 176
"""Side of a drawing beside a heat map, pixels."""


@dataclass(frozen=True)
class Mistake:
    """A picture with a high loss. Heats are data URIs, empty where a map is flat; one where the answer is right."""

    picture: EvaluatedPicture
    shown: str
    for_predicted: str
    for_label: str


@dataclass(frozen=True)
class MistakeGroup:
    name: str
    mistakes: list[Mistake]


def worst(
    evaluation: Evaluation, gallery: Gallery, model: nn.Sequential, normalize: Normalize
) -> Iterator[MistakeGroup]:
    """Yield the pictures of the highest loss with what spoke for the answer and for the truth."""
    for probe in dict.fromkeys(picture.probe for picture in evaluation.pictures):
        part = [picture for picture in evaluation.pictures if picture.probe == probe]
        count = WORST["probe" if probe else ""]
        chosen = sorted(part, key=lambda picture: (-picture.loss, picture.id))[:count]
        name = part_name(f"probe:{probe}") if probe else "validation pictures"
        yield MistakeGroup(name, _explained(chosen, evaluation.classes, gallery, model, normalize))


def _explained(
    chosen: Sequence[EvaluatedPicture],
    classes: Sequence[str],
    gallery: Gallery,
    model: nn.Sequential,
    normalize: Normalize,
) -> list[Mistake]:
    """All of ``chosen`` lie in one cache: they are of one part."""
    if not chosen:
        return []
    cache = gallery.place(chosen[0].id)[0]
    numbers = [gallery.place(picture.id)[1] for picture in chosen]
    said, true = (
        heat_of_rows(model, cache, normalize, numbers, [classes.index(label) for label in labels])
        for labels in ([each.predicted for each in chosen], [each.label for each in chosen])
    )
    found = []
    for place, picture in enumerate(chosen):
        square = gallery.square(picture.id)
        drawn = [
            gallery.draw(_under_heat(square, heat[place]), side=LARGE) if np.ptp(heat[place]) > 0 else ""
            for heat in ([said] if picture.right else [said, true])
        ]
        shown = gallery.draw(square, side=LARGE)
        found.append(Mistake(picture, shown, drawn[0], drawn[1] if len(drawn) > 1 else ""))
    return found


@dataclass(frozen=True)
class Cell:
    """``share`` is of the row; ``anchor`` names the list of its pictures, empty where none is shown."""

    images: int
    share: float
    right: bool
    anchor: str


@dataclass(frozen=True)
class Listed:
    """The pictures of one cell: (data URI, picture), the surest first, and how many there are in all."""

    anchor: str
    label: str
    predicted: str
    images: int
    pictures: list[tuple[str, EvaluatedPicture]]


@dataclass(frozen=True)
class Matrix:
    name: str
    labels: list[str]
    rows: list[list[Cell]]
    lists: list[Listed]
    confused: list[tuple[ConfusionCell, str]] = field(default_factory=list)
    """The most frequent mistakes, each with its anchor."""
    left_out: int = 0
    """Classes that are not shown."""


def matrices(evaluation: Evaluation, gallery: Gallery) -> Iterator[Matrix]:
    """Yield the confusion matrix of all validation pictures and of each probe set."""
    pictures = {picture.id: picture for picture in evaluation.pictures}
    for number, (name, confusion) in enumerate(evaluation.confusion.items()):
        if name == "all" or name.startswith("probe:"):
            yield _matrix(name, f"cell-{number}", confusion, evaluation.classes, pictures, gallery)


def _matrix(
    name: str,
    prefix: str,
    confusion: Confusion,
    classes: Sequence[str],
    pictures: dict[str, EvaluatedPicture],
    gallery: Gallery,
) -> Matrix:
    shown = _most_confused_classes(confusion, len(classes))
    lists = {}
    # mistakes first: where the budget ends, it is the right answers that are shown without pictures
    for cell in sorted(confusion.cells, key=lambda cell: (cell.label == cell.predicted, -cell.images)):
        places = classes.index(cell.label), classes.index(cell.predicted)
        if not set(places) <= set(shown):
            continue
        most = RIGHT_OF_A_CELL if cell.label == cell.predicted else WRONG_OF_A_CELL
        drawn = [(gallery.thumbnail(each), pictures[each]) for each in cell.ids[:most] if each in pictures]
        anchor = f"{prefix}-{places[0]}-{places[1]}"
        lists[places] = Listed(
            anchor, cell.label, cell.predicted, cell.images, [each for each in drawn if each[0]]
        )
    rows = []
    for row in shown:
        total = sum(confusion.counts[row]) or 1
        rows.append(
            [
                Cell(
                    count,
                    count / total,
                    row == column,
                    lists[row, column].anchor if (row, column) in lists else "",
                )
                for column in shown
                for count in (confusion.counts[row][column],)
            ]
        )
    anchors = {(each.label, each.predicted): each.anchor for each in lists.values()}
    return Matrix(
        name=part_name(name),
        labels=[classes[place] for place in shown],
        rows=rows,
        lists=list(lists.values()),
        confused=[(cell, anchors.get((cell.label, cell.predicted), "")) for cell in confusion.confused[:10]],
        left_out=len(classes) - len(shown),
    )


def _most_confused_classes(confusion: Confusion, classes: int) -> list[int]:
    if classes <= MOST_CLASSES:
        return list(range(classes))
    counts = np.array(confusion.counts)
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    return sorted(np.argsort(-wrong, kind="stable")[:MOST_CLASSES].tolist())


@dataclass(frozen=True)
class Looked:
    """A class's mean picture, and the same under its mean heat."""

    attention: ClassAttention
    picture: str
    heat: str


def looked(evaluation: Evaluation, gallery: Gallery) -> list[Looked]:
    """Return where each class looks, those with an alarm first."""
    if evaluation.attention is None:
        return []
    found = sorted(evaluation.attention.classes, key=lambda one: not one.alarm)[:MOST_MAPS]
    return [Looked(each, *_mean_under(evaluation, gallery, each, each.heat)) for each in found]


@dataclass(frozen=True)
class Always:
    """Pixels that are the same in all of a class's pictures: its mean picture, and where in it they lie."""

    shortcut: Shortcut
    picture: str
    where: str


def always(evaluation: Evaluation, gallery: Gallery) -> list[Always]:
    """Return what is always the same, by class, those with an alarm first."""
    if evaluation.attention is None:
        return []
    found = sorted(evaluation.attention.shortcuts, key=lambda one: not one.alarm)[:MOST_MAPS]
    return [Always(each, *_mean_under(evaluation, gallery, each, each.where)) for each in found]


def _mean_under(
    evaluation: Evaluation, gallery: Gallery, of: ClassAttention | Shortcut, cells: list[list[float]]
) -> tuple[str, str]:
    """Return the mean of a class's validation pictures of one source, and the same under a map of cells."""
    mean = gallery.mean(
        [
            picture.id
            for picture in evaluation.pictures
            if not picture.probe and (picture.label, picture.source) == (of.label, of.source)
        ]
    )
    under = _under_heat(mean, np.array(cells, dtype=np.float32))
    return gallery.draw(mean, side=LARGE), gallery.draw(under, side=LARGE)


def _under_heat(square: Pixels, heat: Heats) -> npt.NDArray[np.float64]:
    """Return a picture (H, W, 3) under a raw map (h, w), stretched to its own range."""
    return heated(square, normalise(torch.from_numpy(heat)).numpy())
