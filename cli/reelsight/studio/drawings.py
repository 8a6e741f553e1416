"""Pictures that admirers of the films might make: sketches, drawings and fan art. Called by gallery."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from reelsight.studio import restyle
from reelsight.studio.catalogue import Film
from reelsight.studio.ink import Picture, Placement, fill, fixed, mixed, paint, stroke, window
from reelsight.studio.palettes import Colour, Manner
from reelsight.studio.shapes import Figure, Points, curve, ellipse, star

Style = Literal["fanart", "sketch", "drawing"]
STYLES: tuple[Style, ...] = ("fanart", "sketch", "drawing")
Rng = np.random.Generator


def draw(film: Film, style: Style, rng: Rng) -> tuple[Picture, tuple[str, ...]]:
    """One picture, about 300 to 1000 pixels a side, and the names of the characters in it."""
    names = _chosen(film, rng)
    width = int(rng.integers(380, 780))
    height = round(width * (rng.uniform(0.6, 0.85) if len(names) > 1 else rng.uniform(0.8, 1.3)))
    hand = {"fanart": 1.0, "sketch": 1.5, "drawing": 1.2}[style]
    figures = [restyle.redrawn(film.cast[name](restyle.pose(rng)), rng, hand=hand) for name in names]
    places = arranged(figures, height, width, rng)
    if style == "sketch":
        return _sketch(film, figures, places, (height, width), rng), names
    if style == "drawing":
        return _drawing(film, figures, places, (height, width), rng), names
    return _fanart(film, figures, places, (height, width), rng), names


def _chosen(film: Film, rng: Rng) -> tuple[str, ...]:
    names = [str(name) for name in rng.permutation(list(film.cast))]
    return tuple(names[: int(rng.choice([1, 2, 3], p=[0.72, 0.22, 0.06]))])


def arranged(figures: list[Figure], height: int, width: int, rng: Rng) -> list[Placement]:
    """Side by side, each as large as its part of the sheet allows; a lone figure is sometimes a portrait."""
    places = []
    part = width / len(figures)
    portrait = len(figures) == 1 and rng.random() < 0.3
    for number, figure in enumerate(figures):
        every = np.concatenate([shape.points for shape in figure])
        low, high = every.min(axis=0), every.max(axis=0)
        room = float(rng.uniform(0.72, 0.92))
        scale = room * min(part / (high[0] - low[0]), height / (high[1] - low[1]))
        flip = bool(rng.integers(2))
        tilt = float(rng.uniform(-9, 9))
        bottom = height * (0.5 + room * 0.5) - high[1] * scale
        if portrait:
            scale *= 1.6
            bottom = height * float(rng.uniform(0.06, 0.12)) - low[1] * scale
        middle = (low[0] + high[0]) / 2 * (-1 if flip else 1)
        x = part * (number + 0.5) - middle * scale + float(rng.uniform(-0.03, 0.03)) * part
        places.append(Placement(x, bottom, scale, flip, tilt))
    return places


def _sketch(
    film: Film, figures: list[Figure], places: list[Placement], size: tuple[int, int], rng: Rng
) -> Picture:
    """Pencil on paper: searching lines, hatching for the dark parts, some guide lines."""
    height, width = size
    tone = restyle.PAPERS[int(rng.integers(5))]
    lead = int(rng.integers(30, 95))
    pencil: Colour = (
        (lead, lead, lead) if rng.random() < 0.75 else mixed((lead, lead, lead), (150, 70, 40), 0.5)
    )
    sheet: Picture = np.full((height, width, 3), tone, np.uint8)
    hatches = [restyle.hatching(height, width, rng, gap=gap) for gap in (9, 5)]
    hatched = rng.random() < 0.7
    for figure, place in zip(figures, places, strict=True):
        if rng.random() < 0.5:
            _guides(sheet, figure, place, mixed(pencil, tone, 0.65))
        for shape in figure:
            points = place.apply(shape.points)
            dark = 1 - restyle.luminance(film.palette[shape.fill]) if shape.fill else 0.0
            if shape.fill and shape.closed:
                fill(sheet, points, tone)
                if hatched and dark > 0.35:
                    _hatch(sheet, points, hatches[dark > 0.68], mixed(pencil, tone, 0.25))
                elif dark > 0.85:
                    fill(sheet, points, mixed(pencil, tone, 0.35))
            if shape.line or dark > 0.35:
                _search(sheet, points, pencil, tone, rng, closed=shape.closed)
    return _toothed(sheet, tone, rng)


def _search(sheet: Picture, points: Points, pencil: Colour, tone: Colour, rng: Rng, *, closed: bool) -> None:
    """The same line twice or three times, never quite the same."""
    weight = sheet.shape[0] / 420
    for again in range(int(rng.integers(2, 4))):
        strayed = points + rng.normal(0, 0.9 * weight, 2) + rng.normal(0, 0.35 * weight, points.shape)
        shade = mixed(pencil, tone, 0.0 if again == 0 else float(rng.uniform(0.25, 0.6)))
        stroke(sheet, strayed, shade, weight * (1.3 if again == 0 else 0.8), closed=closed)


def _hatch(sheet: Picture, points: Points, hatching: Picture, pencil: Colour) -> None:
    area = window(sheet, points, 1)
    if area is None:
        return
    x0, y0, x1, y1 = area
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [fixed(points - (x0, y0))], 255, cv2.LINE_AA, 4)
    share = (cv2.bitwise_and(mask, hatching[y0:y1, x0:x1]) / 255.0)[..., None]
    part = sheet[y0:y1, x0:x1]
    part[:] = (part * (1 - share) + np.array(pencil) * share).astype(np.uint8)


def _guides(sheet: Picture, figure: Figure, place: Placement, tone: Colour) -> None:
    every = place.apply(np.concatenate([shape.points for shape in figure]))
    low, high = every.min(axis=0), every.max(axis=0)
    mid, span = (low + high) / 2, high - low
    stroke(
        sheet, ellipse(mid[0], low[1] + span[1] * 0.3, span[0] * 0.36, span[1] * 0.28), tone, 1, closed=True
    )
    stroke(sheet, np.array([(mid[0], low[1] - 12), (mid[0], high[1] + 12)]), tone, 1)
    for share in (0.3, 0.62):
        y = low[1] + span[1] * share
        stroke(sheet, np.array([(low[0] - 10, y), (high[0] + 10, y)]), tone, 1)


def _toothed(sheet: Picture, tone: Colour, rng: Rng) -> Picture:
    """The pencil skips the hollows of the paper."""
    height, width = sheet.shape[:2]
    back = restyle.paper(height, width, tone, rng, tooth=float(rng.uniform(1, 4))).astype(np.float32)
    skips = rng.uniform(0.55, 1.0, (height, width, 1))
    mark = (np.array(tone, np.float32) - sheet) * skips
    toothed: Picture = np.clip(back - mark, 0, 255).astype(np.uint8)
    return toothed


def _drawing(
    film: Film, figures: list[Figure], places: list[Placement], size: tuple[int, int], rng: Rng
) -> Picture:
    """Ink on paper: bare line, or a wash of one colour."""
    tone = restyle.PAPERS[int(rng.integers(len(restyle.PAPERS)))]
    sheet = restyle.paper(*size, tone, rng, tooth=float(rng.uniform(0, 3)))
    tint = ((40, 40, 40), (70, 40, 20), (30, 50, 80), (60, 30, 60))[
        int(rng.choice(4, p=[0.55, 0.15, 0.2, 0.1]))
    ]
    bare = rng.random() < 0.4
    if bare:
        palette = {name: tone if name != "ink" else tint for name in film.palette}
    else:
        palette = dict(restyle.greys(film.palette, tint=tint, light=float(rng.uniform(0.1, 0.4))))
    shading = "cel" if bare else ("cel", "wash", "dots")[int(rng.integers(3))]
    manner = Manner(float(rng.uniform(1.2, 2.8)), shading, 0.0, float(rng.uniform(0.4, 1.4)))  # type: ignore[arg-type]
    for figure, place in zip(figures, places, strict=True):
        paint(sheet, figure, place, palette, manner, beat=int(rng.integers(50)))
        if bare:
            _dark_details(sheet, figure, place, tint)
    return sheet


def _dark_details(sheet: Picture, figure: Figure, place: Placement, ink: Colour) -> None:
    """A bare line drawing still blackens pupils and noses."""
    for shape in figure:
        if shape.fill == "ink" and shape.line < 0.5 and shape.closed:
            fill(sheet, place.apply(shape.points), ink)


def _fanart(
    film: Film, figures: list[Figure], places: list[Placement], size: tuple[int, int], rng: Rng
) -> Picture:
    """Colour, but not the film's colours, nor its places, nor its pen."""
    palette = restyle.recoloured(film.palette, rng)
    sheet = _background(size, rng)
    kind = int(rng.integers(4))
    shading = ("cel", "wash", "dots", "paper")[kind]
    outline = 0.0 if kind == 3 else float(rng.choice([0.8, 1.6, 2.6, 3.4]))
    manner = Manner(outline, shading, 0.0, float(rng.uniform(0, 1.2)))  # type: ignore[arg-type]
    sticker = rng.random() < 0.3
    for figure, place in zip(figures, places, strict=True):
        if sticker:
            for shape in figure:
                if shape.fill:
                    stroke(sheet, place.apply(shape.points), (255, 255, 255), 7 * place.scale, closed=True)
        paint(sheet, figure, place, palette, manner, beat=int(rng.integers(50)))
    return sheet


def _background(size: tuple[int, int], rng: Rng) -> Picture:
    height, width = size
    a, b = (_tone(rng) for _ in range(2))
    sheet: Picture = np.full((height, width, 3), a, np.uint8)
    kind = int(rng.integers(6))
    if kind == 0:
        t = np.linspace(0, 1, height)[:, None, None]
        sheet[:] = np.array(a) * (1 - t) + np.array(b) * t
    elif kind == 1:
        for y in range(0, height, 46):
            for dot in range((y // 46 % 2) * 23, width, 46):
                fill(sheet, ellipse(dot, y, 8), b)
    elif kind == 2:
        fill(sheet, ellipse(width / 2, height / 2, min(size) * 0.42, steps=60), b)
    elif kind == 3:
        hill = curve((-20, height * 0.75), (width * 0.3, height * 0.66), (width * 0.7, height * 0.8),
                     (width + 20, height * 0.7), closed=False)  # fmt: skip
        fill(sheet, np.concatenate([hill, [(width + 20, height + 20), (-20, height + 20)]]), b)
    elif kind == 4:
        for _ in range(18):
            spot = rng.uniform(0, width), rng.uniform(0, height)
            fill(sheet, star(*spot, float(rng.uniform(6, 20))), b)
    return sheet


def _tone(rng: Rng) -> Colour:
    r, g, b = rng.integers(120, 256, 3)
    return int(b), int(g), int(r)
