"""Frames out of films: one sequential decoding pass gives pictures, exact times and scenes; called by tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from reel_ingest import duplicates, scenes
from reel_ingest.movies import (
    MAX_PIXELS,
    MovieInfo,
    declared_seconds,
    frame_rate,
    open_movie,
    pixel_aspect,
    probe,
    quarter_turns,
    upright_rgb,
)
from reel_ingest.quality import refusal_reason
from reel_shared import errors

__all__ = ["Frame", "MovieInfo", "Progress", "Tally", "extract_frames", "probe"]

Progress = Callable[[float, float], None]
"""Called now and then with seconds of film done and in all; what it raises stops the extraction."""

Crop = tuple[int, int, int, int]

_PROGRESS_EVERY = 24


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame taken from a film."""

    index: int
    """Position among the film's decoded frames, from 0."""
    pts: int | None
    """Presentation time stamp as stored, in the stream's time base."""
    time_seconds: float
    """Exact time since the stream's start."""
    scene: int
    """Number of the scene, from 0; counted from the start of the film, whatever part is extracted."""
    jpeg: bytes
    width: int
    height: int
    phash: int
    refusal: str | None
    """Why the picture is of no use (``dark``, ``flat``, …), or None."""


@dataclass(slots=True)
class Tally:
    """What the decoder met; filled while frames are taken, complete at the end."""

    decoded: int = 0
    corrupt: int = 0
    """Frames and packets that came out damaged or not at all."""
    lost: int = 0
    """Frames that should have been taken but were damaged."""
    scenes: int = 0
    last_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Picture:
    """How every taken frame is cut, scaled and encoded."""

    width: int | None
    height: int | None
    keep_aspect: bool
    quality: int
    crop: Crop
    pixel_aspect: Fraction

    def render(self, frame: Any) -> npt.NDArray[np.uint8]:
        picture = upright_rgb(frame)
        height, width = picture.shape[:2]
        top, right, bottom, left = self.crop
        if width - left - right < 16 or height - top - bottom < 16:
            raise errors.Unprocessable(
                f"Cutting {self.crop} pixels leaves nothing of a {width}x{height} film."
            )
        picture = picture[top : height - bottom, left : width - right]
        height, width = picture.shape[:2]
        turned = quarter_turns(frame) % 2 == 1
        across, down = (Fraction(1), self.pixel_aspect) if turned else (self.pixel_aspect, Fraction(1))
        size = target_size(
            round(width * across), round(height * down), self.width, self.height, keep_aspect=self.keep_aspect
        )
        if size == (width, height):
            return np.ascontiguousarray(picture)
        shrinks = size[0] * size[1] <= width * height
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(picture, size, interpolation=method), dtype=np.uint8)


def extract_frames(
    path: Path,
    *,
    every_frames: int | None = None,
    every_seconds: float | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    width: int | None = None,
    height: int | None = None,
    keep_aspect: bool = True,
    quality: int = 90,
    crop: Crop = (0, 0, 0, 0),
    on_progress: Progress | None = None,
    tally: Tally | None = None,
) -> Iterator[Frame]:
    """Yield frames of a film in order: source frames 0, N, 2N, … or the first one of every N seconds.

    With ``keep_aspect`` the picture fits inside ``width`` x ``height`` and is never enlarged; otherwise it is
    stretched. ``crop`` is top, right, bottom, left in pixels of the upright film. A part between
    ``start_seconds`` and ``end_seconds`` is decoded from the beginning all the same, so that its frames keep
    the numbers, times and scenes that they have in the whole film.

    Raises ``BadMovie`` when the file is no film, or at the end when its data stops before its length.
    """
    tally = tally if tally is not None else Tally()
    with open_movie(path) as (container, stream):
        total = declared_seconds(container, stream)
        until = min(end_seconds or float("inf"), total or float("inf"))
        look = _Picture(width, height, keep_aspect, quality, crop, pixel_aspect(stream))
        due = _schedule(every_frames, every_seconds, start_seconds, stream.time_base or Fraction(1, 90_000))
        cuts = scenes.SceneCuts(frame_rate(stream))
        waiting: deque[Frame] = deque()
        for index, seconds, frame in _decode(container, stream, tally):
            past = end_seconds is not None and seconds >= end_seconds
            cuts.add(scenes.tiny_picture(frame))
            if not past and due(index, seconds):
                if frame.is_corrupt:
                    tally.lost += 1
                else:
                    waiting.append(_take(frame, index, seconds, look))
            yield from _with_scenes(waiting, cuts, cuts.settled)
            if past and not waiting:
                break
            if on_progress and index % _PROGRESS_EVERY == 0:
                on_progress(float(seconds), until if until < float("inf") else float(seconds))
        else:
            _check_whole(tally, total)
        yield from _with_scenes(waiting, cuts, tally.decoded)
        tally.scenes = len(cuts.cuts) + 1


def _decode(container: Any, stream: Any, tally: Tally) -> Iterator[tuple[int, Fraction, Any]]:
    """Yield index, exact time and frame; damaged packets are skipped and counted."""
    rate = Fraction(frame_rate(stream)).limit_denominator(1001)
    start: int | None = stream.start_time
    for packet in _packets(container, stream):
        try:
            decoded = packet.decode()
        except av.error.FFmpegError:
            tally.corrupt += 1
            continue
        for frame in decoded:
            if frame.width * frame.height > MAX_PIXELS:
                raise errors.BadMovie(f"The film turns {frame.width}x{frame.height}; at most 8K is accepted.")
            index, pts = tally.decoded, frame.pts
            if start is None and pts is not None:
                start = pts
            seconds = (
                Fraction(index) / rate if pts is None else (pts - (start or 0)) * Fraction(frame.time_base)
            )
            tally.decoded += 1
            tally.corrupt += frame.is_corrupt
            tally.last_seconds = float(seconds)
            yield index, seconds, frame


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return  # a read error in the middle is the end of the data; the length check follows
        yield packet


def _schedule(
    every_frames: int | None, every_seconds: float | None, start_seconds: float, tick: Fraction
) -> Callable[[int, Fraction], bool]:
    """Return a function that says of each frame in turn whether it is to be taken."""
    if (every_frames is None) == (every_seconds is None):
        raise ValueError("give every_frames or every_seconds")
    start = Fraction(start_seconds).limit_denominator(1_000_000)
    if every_frames is not None:
        return lambda index, seconds: seconds >= start and index % every_frames == 0
    step = Fraction(every_seconds or 0).limit_denominator(1_000_000)
    last_mark = -1

    def due(_index: int, seconds: Fraction) -> bool:
        nonlocal last_mark
        # One tick of grace: containers round time stamps, and 1.999 of 2 s is the frame meant.
        mark = (seconds - start + tick) // step
        if mark <= last_mark or seconds + tick < start:
            return False
        last_mark = mark
        return True

    return due


def _take(frame: Any, index: int, seconds: Fraction, look: _Picture) -> Frame:
    picture = look.render(frame)
    height, width = picture.shape[:2]
    return Frame(
        index=index,
        pts=frame.pts,
        time_seconds=float(seconds),
        scene=-1,
        jpeg=simplejpeg.encode_jpeg(picture, quality=look.quality, colorspace="RGB", colorsubsampling="420"),
        width=width,
        height=height,
        phash=duplicates.phash(picture),
        refusal=refusal_reason(picture, smallest_side=1),
    )


def _with_scenes(waiting: deque[Frame], cuts: scenes.SceneCuts, settled: int) -> Iterator[Frame]:
    """Let go of the frames whose scene is final."""
    while waiting and waiting[0].index <= settled:
        frame = waiting.popleft()
        yield replace(frame, scene=cuts.scene_of(frame.index))


def _check_whole(tally: Tally, total: float | None) -> None:
    if tally.decoded == 0:
        raise errors.BadMovie("Not one frame of the film can be decoded; the file is damaged or incomplete.")
    if total is not None and tally.last_seconds < total - max(1.0, 0.02 * total):
        raise errors.BadMovie(
            f"The film says it lasts {total:.1f} s but its pictures end at {tally.last_seconds:.1f} s: "
            "the file is cut off; upload it again."
        )


def target_size(
    width: int, height: int, wide: int | None, high: int | None, *, keep_aspect: bool
) -> tuple[int, int]:
    """Return width and height of a (width, height) picture in a box; a missing side of the box is free."""
    if not keep_aspect:
        return wide or width, high or height
    scale = min(Fraction(wide or width, width), Fraction(high or height, height), Fraction(1))
    return max(1, round(width * scale)), max(1, round(height * scale))
