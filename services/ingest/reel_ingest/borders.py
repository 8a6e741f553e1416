"""Constant bars around a film's picture (letterbox, pillarbox, thin scan borders), measured; called by tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av.error
import cv2
import numpy as np
import numpy.typing as npt

from reel_ingest.movies import declared_seconds, frame_rate, open_movie, upright_rgb

SAMPLES = 40
ENOUGH = 8
"""Frames with something to see that are needed before anything is cut."""

BLACK = 12
"""Luma (full range) up to which a bar may be called black."""
UNIFORM = 8
"""Spread of luma over a whole line and the whole film up to which it is a bar of any other colour."""

_SHORT_SECONDS = 240.0
_STRIP = 256
_AGREE_BLACK, _AGREE_OTHER = 0.25, 0.75
_COVERED = 0.5
_KEPT = 0.25
_LINE_QUANTILES = (2, 98)
_TIME_QUANTILES = (0.02, 0.98)

Luma = npt.NDArray[np.uint8]


class Borders(NamedTuple):
    """Pixels to cut from the upright picture at its stored size."""

    top: int = 0
    right: int = 0
    bottom: int = 0
    left: int = 0


def measure_borders(path: Path) -> Borders:
    """Return the bars that stay the same through a film, rounded outward by 2 pixels and to even; else zeros.

    About forty frames across the film are compared. Black and empty frames say nothing and are left out; when
    few others remain, as in a film of nights, nothing is cut. Raises ``BadMovie``.
    """
    with open_movie(path) as (container, stream):
        return borders_of(map(_luma, _sample(container, stream)))


def borders_of(lumas: Iterable[Luma]) -> Borders:
    """Measure bars on luma pictures (H, W) uint8; those of another size than the first useful one are left out."""
    strips: list[tuple[Luma, Luma]] = []
    shape: tuple[int, ...] = ()
    for luma in lumas:
        if _tells(luma) and luma.shape == (shape or luma.shape):
            shape = luma.shape
            strips.append(_strips(luma))
    if len(strips) < ENOUGH:
        return Borders()
    top, bottom = _bars(np.stack([rows for rows, _ in strips]))
    left, right = _bars(np.stack([columns for _, columns in strips]))
    return Borders(_outward(top), _outward(right), _outward(bottom), _outward(left))


def _sample(container: Any, stream: Any) -> Iterator[Any]:
    """Yield about ``SAMPLES`` frames: keyframes across a long film, every so many frames of a short one."""
    seconds = declared_seconds(container, stream) or 0.0
    if seconds > _SHORT_SECONDS:
        yield from _keyframes(container, stream, seconds)
    else:
        step = max(1, int(seconds * frame_rate(stream)) // SAMPLES)
        yield from islice(_whole(container.decode(stream)), 0, SAMPLES * step, step)


def _keyframes(container: Any, stream: Any, seconds: float) -> Iterator[Any]:
    # Only keyframes: after a seek into an open group of pictures the frames between them are garbage.
    stream.codec_context.skip_frame = "NONKEY"
    start, seen = stream.start_time or 0, set()
    for sample in range(SAMPLES):
        offset = (sample + 0.5) / SAMPLES * seconds
        try:
            container.seek(start + int(offset / stream.time_base), stream=stream)
        except av.error.FFmpegError:
            continue
        for frame in _whole(container.decode(stream)):
            if frame.pts not in seen:
                seen.add(frame.pts)
                yield frame
            break


def _whole(frames: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from (frame for frame in frames if not frame.is_corrupt)
    except av.error.FFmpegError:
        return


def _luma(frame: Any) -> Luma:
    return np.asarray(cv2.cvtColor(upright_rgb(frame), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _tells(luma: Luma) -> bool:
    """Whether a frame has enough light and contrast for its dark edges to mean anything."""
    small = cv2.resize(luma, (_STRIP, _STRIP), interpolation=cv2.INTER_AREA)
    return float(np.percentile(small, 95)) >= 48 and float(small.std()) >= 12


def _strips(luma: Luma) -> tuple[Luma, Luma]:
    """Squeeze a frame to (H, 256) for its rows and (W, 256) for its columns; a whole film of them is small."""
    height, width = luma.shape
    rows = cv2.resize(luma, (_STRIP, height), interpolation=cv2.INTER_AREA)
    columns = cv2.resize(luma, (width, _STRIP), interpolation=cv2.INTER_AREA)
    return np.asarray(rows, dtype=np.uint8), np.ascontiguousarray(columns.T, dtype=np.uint8)


def _bars(strips: Luma) -> tuple[int, int]:
    """Return the bar's width at the first and the last line, from (frames, lines, 256)."""
    # Percentiles along a line ignore specks and compression noise, those over time a stray frame.
    low, high = np.percentile(strips, _LINE_QUANTILES, axis=2)
    lowest = np.quantile(low, _TIME_QUANTILES[0], axis=0)
    highest = np.quantile(high, _TIME_QUANTILES[1], axis=0)
    constant = (highest <= BLACK) | (highest - lowest <= UNIFORM)
    first, last = _run(constant), _run(constant[::-1])
    if len(constant) - first - last < _KEPT * len(constant):
        return 0, 0
    return _confirmed(strips, first), _confirmed(strips[:, ::-1], last)


def _confirmed(strips: Luma, width: int) -> int:
    """Return ``width`` if the picture begins right behind the bar, in enough frames and along enough of it, else 0.

    Behind a real bar the picture begins at the same line again and again, and sooner or later everywhere. The
    dark top of a night sky ends at another line in every scene, or only where one roof stands.
    """
    if width == 0:
        return 0
    bar = strips[:, :width].astype(np.float32)
    contrast = (
        np.abs(strips[:, width : width + 3] - bar.mean(axis=(1, 2), keepdims=True)).max(axis=1) > 2 * BLACK
    )
    agreeing = float((contrast.mean(axis=1) > 0.02).mean())
    covered = float(contrast.any(axis=0).mean())
    enough = _AGREE_BLACK if bar.mean() <= BLACK else _AGREE_OTHER
    return width if agreeing >= enough and covered >= _COVERED else 0


def _run(flags: npt.NDArray[np.bool_]) -> int:
    return len(flags) if flags.all() else int(np.argmin(flags))


def _outward(width: int) -> int:
    return 0 if width == 0 else (width + 3) // 2 * 2
