"""What stays the same at a film's edges: bars to cut, marks to report, and the evidence; called by tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, get_args

import cv2
import numpy as np
import numpy.typing as npt

from reel_ingest import artefacts, film_bars
from reel_ingest.movies import open_movie, upright_rgb
from reel_ingest.sampling import SAMPLES, sample
from reel_shared.contracts import Artefact, Bar, BordersReport
from reel_shared.contracts.borders import Side

ENOUGH = 8
"""Frames with something to see that are needed before anything is said."""
SMALL = 640
"""Pixels of the longer side at which marks are looked for and the evidence is drawn."""

_STRIP = 256
_CROP_COLOUR, _MARK_COLOUR = (255, 40, 40), (40, 220, 40)

Picture = npt.NDArray[np.uint8]
SIDES: tuple[Side, ...] = get_args(Side)


class Borders(NamedTuple):
    """A film's borders: ``report`` without its picture, and that picture, RGB (H, W, 3) uint8, where there is one.

    The picture is the mean of the useful frames, with the crop in red and the marks in green.
    """

    report: BordersReport
    evidence: Picture | None


def measure_borders(path: Path) -> Borders:
    """Measure the borders of a film on about forty frames from all over it.

    Black and empty frames say nothing and are left out; when few others remain, as in a film of nights, nothing
    is cut and the report's ``reason`` says so. Bars are cut rounded outward by 2 pixels and to even. Raises
    ``BadMovie``.
    """
    with open_movie(path) as (container, stream):
        return borders_of(map(upright_rgb, sample(container, stream)))


def borders_of(pictures: Iterable[Picture]) -> Borders:
    """Measure borders on RGB pictures (H, W, 3) uint8; those of another size than the first useful one are out.

    Holds one picture at a time; of each it keeps two strips of 256 pixels across and one small copy.
    """
    seen = _Seen()
    for picture in pictures:
        seen.add(picture)
    if len(seen.lumas) < ENOUGH:
        return Borders(seen.nothing("too few bright frames"), None)
    found = seen.bars()
    cut = [_outward(bar.pixels) if bar.cut else 0 for bar in found.values()]
    crop = (cut[0], cut[1], cut[2], cut[3])
    lumas = seen.lumas.all()
    scale = seen.width / lumas.shape[2]
    inner = _inside(lumas, crop, scale)
    left, top = round(crop[3] / scale), round(crop[0] / scale)
    marks = [_artefact(mark, left, top, scale) for mark in artefacts.marks(inner)]
    report = BordersReport(
        crop=crop,
        sampled=seen.sampled,
        useful=len(seen.lumas),
        bars=found,
        artefacts=marks,
        reason="" if any(crop) else _why_nothing(found),
    )
    return Borders(report, _evidence(seen.mean(), report, scale))


class _Pile:
    """Pictures of one size in one block; kept one by one between large ones they would break the heap into holes."""

    def __init__(self) -> None:
        self._block: Picture | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, picture: Picture) -> None:
        if self._block is None:
            self._block = np.empty((SAMPLES, *picture.shape), dtype=np.uint8)
        elif self._count == len(self._block):
            self._block = np.concatenate([self._block, np.empty_like(self._block)])
        self._block[self._count] = picture
        self._count += 1

    def all(self) -> Picture:
        """Return them as one array, the number of the picture first."""
        assert self._block is not None
        return self._block[: self._count]


@dataclass
class _Seen:
    """What is kept of a film's useful frames."""

    sampled: int = 0
    height: int = 0
    width: int = 0
    rows: _Pile = field(default_factory=_Pile)
    columns: _Pile = field(default_factory=_Pile)
    lumas: _Pile = field(default_factory=_Pile)
    _total: npt.NDArray[np.float32] | None = None
    _row_colours: npt.NDArray[np.float64] | None = None
    _column_colours: npt.NDArray[np.float64] | None = None

    def add(self, picture: Picture) -> None:
        self.sampled += 1
        height, width = picture.shape[:2]
        luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        if not _tells(luma) or (len(self.lumas) and (height, width) != (self.height, self.width)):
            return
        self.height, self.width = height, width
        self.rows.add(_resized(luma, _STRIP, height))
        self.columns.add(_resized(luma, width, _STRIP).T)
        scale = min(1.0, SMALL / max(height, width))
        small = _resized(picture, max(1, round(width * scale)), max(1, round(height * scale)))
        self.lumas.add(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8))
        by_row = cv2.reduce(picture, 1, cv2.REDUCE_AVG, dtype=cv2.CV_64F)[:, 0]
        by_column = cv2.reduce(picture, 0, cv2.REDUCE_AVG, dtype=cv2.CV_64F)[0]
        if self._total is None or self._row_colours is None or self._column_colours is None:
            self._total = np.zeros(small.shape, dtype=np.float32)
            self._row_colours, self._column_colours = np.zeros((height, 3)), np.zeros((width, 3))
        self._total += small
        self._row_colours += by_row
        self._column_colours += by_column

    def bars(self) -> dict[Side, Bar]:
        assert self._row_colours is not None
        assert self._column_colours is not None
        rows, columns = self.rows.all(), self.columns.all()
        high, wide = film_bars.candidate_widths(rows), film_bars.candidate_widths(columns)
        count = len(self.lumas)
        top, bottom = film_bars.judged(rows, high, self._row_colours / count, _between(wide, self.width))
        left, right = film_bars.judged(
            columns, wide, self._column_colours / count, _between(high, self.height)
        )
        return {"top": top, "right": right, "bottom": bottom, "left": left}

    def mean(self) -> Picture:
        assert self._total is not None
        return np.asarray(self._total / len(self.lumas), dtype=np.uint8)

    def nothing(self, reason: str) -> BordersReport:
        none = Bar(pixels=0, colour=(0, 0, 0), agreement=0.0, covered=0.0, cut=False)
        return BordersReport(
            crop=(0, 0, 0, 0),
            sampled=self.sampled,
            useful=len(self.lumas),
            bars=dict.fromkeys(SIDES, none),
            reason=reason,
        )


def _tells(luma: Picture) -> bool:
    """Whether a frame has enough light and contrast for its dark edges to mean anything."""
    small = cv2.resize(luma, (_STRIP, _STRIP), interpolation=cv2.INTER_AREA)
    return float(np.percentile(small, 95)) >= 48 and float(small.std()) >= 12


def _resized(picture: Picture, width: int, height: int) -> Picture:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _between(widths: tuple[int, int], lines: int) -> slice:
    """Return the places of 256 that lie between the candidates of an axis; all, if they are too wide for bars."""
    if max(widths) > film_bars.WIDEST * lines:
        return slice(None)
    return slice(-(-widths[0] * _STRIP // lines), (lines - widths[1]) * _STRIP // lines)


def _inside(lumas: Picture, crop: tuple[int, int, int, int], scale: float) -> Picture:
    top, right, bottom, left = (round(width / scale) for width in crop)
    return lumas[:, top : lumas.shape[1] - bottom, left : lumas.shape[2] - right]


def _artefact(mark: artefacts.Mark, left: int, top: int, scale: float) -> Artefact:
    box = (mark.left + left, mark.top + top, mark.width, mark.height)
    x, y, width, height = (round(value * scale) for value in box)
    return Artefact(kind=mark.kind, box=(x, y, width, height), constant_share=round(mark.seen, 3))


def _why_nothing(found: dict[Side, Bar]) -> str:
    reasons = [f"{side}: {bar.reason}" for side, bar in found.items() if bar.reason]
    return "; ".join(reasons) or "no line at the edges stays the same"


def _evidence(mean: Picture, report: BordersReport, scale: float) -> Picture:
    drawn = mean.copy()
    height, width = drawn.shape[:2]
    top, right, bottom, left = (round(value / scale) for value in report.crop)
    if any(report.crop):
        cv2.rectangle(drawn, (left, top), (width - right - 1, height - bottom - 1), _CROP_COLOUR, 1)
    for artefact in report.artefacts:
        x, y, wide, high = (round(value / scale) for value in artefact.box)
        cv2.rectangle(drawn, (x - 2, y - 2), (x + wide + 1, y + high + 1), _MARK_COLOUR, 1)
    return drawn


def _outward(width: int) -> int:
    return (width + 3) // 2 * 2
